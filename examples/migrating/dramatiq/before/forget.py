"""Enqueues the clean-up. dramatiq has no clock: a crontab, APScheduler or periodiq runs this."""

from jobs import forget_old_documents

forget_old_documents.send()
