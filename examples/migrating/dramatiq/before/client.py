"""Enqueues two checks of a passport, and waits for both."""

import sys

import dramatiq
from jobs import check_mrz, look_up

document = sys.argv[1]
checks = dramatiq.group([check_mrz.message(document), look_up.message(document)]).run()
wrong, lost = checks.get_results(block=True, timeout=30_000)
print(f"wrong digits: {wrong}, lost: {lost}")
