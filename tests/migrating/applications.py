"""The applications of `examples/migrating`, before and after they move."""

from __future__ import annotations

from migrating.stage import EXAMPLES, Application, after

WITHOUT_FRILLS = "--without-gossip --without-mingle --loglevel INFO"
BEFORE = (
    Application(
        "arq", "before", ("arq jobs.WorkerSettings",), EXAMPLES / "arq/before/requirements.txt"
    ),
    Application(
        "celery",
        "before",
        (
            f"celery -A jobs worker --concurrency 1 {WITHOUT_FRILLS}",
            "celery -A jobs beat --schedule {folder}/beat",
        ),
        EXAMPLES / "celery/before/requirements.txt",
    ),
    Application(
        "rq",
        "before",
        ("rq worker checks --url {redis}", "rq cron clock --url {redis}"),
        EXAMPLES / "rq/before/requirements.txt",
    ),
)
AFTER = tuple(after(application.peer) for application in BEFORE)
