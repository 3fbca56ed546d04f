"""The app of the release before: `novel` is not there yet."""

from __future__ import annotations

from faults.jobs import app as newer
from identtqueue import App

ADDED = ("novel",)

app = App(default_queue="chaos")
app.jobs.update({name: job for name, job in newer.jobs.items() if name not in ADDED})
