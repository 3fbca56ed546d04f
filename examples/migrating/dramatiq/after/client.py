"""Enqueues two checks of a passport, and waits for both."""

import sys

from jobs import app, check_mrz, look_up

document = sys.argv[1]
checks = app.enqueue_many_sync([check_mrz.call(document), look_up.call(document)])
wrong, lost = [check.result(timeout_seconds=30) for check in checks]
print(f"wrong digits: {wrong}, lost: {lost}")
