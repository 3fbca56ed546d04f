"""The jobs that `rq cron` enqueues, and how often."""

from jobs import forget_old_documents
from rq import cron

cron.register(forget_old_documents, queue_name="checks", interval=2)
