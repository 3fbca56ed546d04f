"""Work at night, in a module of its own: an app without an address, which `jobs.app` includes."""

from identtqueue import App, Context

housekeeping = App(default_queue="housekeeping")


@housekeeping.task
def forget_old_documents(ctx: Context, older_than_days: int = 30) -> int:
    """Delete old documents. As a plain function, it runs in a thread and may block."""
    ctx.logger.info("looking for documents that are older than %d days", older_than_days)
    return 0


# Every worker keeps the schedule. Each tick is one task nevertheless.
_ = housekeeping.cron("* * * * *", forget_old_documents, older_than_days=7)
