"""App of the previous release, which does not have the job `novel` yet."""

from __future__ import annotations

from identtqueue import App
from testing.faults.jobs import app as newer

ADDED = ("novel",)

app = App(default_queue="chaos")
app.jobs.update({name: job for name, job in newer.jobs.items() if name not in ADDED})
