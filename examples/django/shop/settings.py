"""Settings of the example. Read from the environment what differs between machines."""

import os
from pathlib import Path

import django

FOLDER = Path(__file__).parents[1]

SECRET_KEY = os.environ.get("SECRET_KEY", "for this example only")
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True

INSTALLED_APPS = ["identtqueue.django", "orders"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", FOLDER / "shop.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TASKS = {
    "default": {
        "BACKEND": "identtqueue.django.IdenttqueueBackend",
        "QUEUES": ["default", "emails"],
        "OPTIONS": {
            # The address: IDENTTQUEUE_REDIS_ADDRESS, else redis://localhost:6379.
            "max_retries": 3,
            "result_ttl_seconds": 86_400,
        },
    }
}

MAIL = "django.core.mail.backends.console.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAIL}}
else:
    EMAIL_BACKEND = MAIL

# Because the root logger has a handler here, the worker adds none.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"attempt": {"()": "identtqueue.logs.AttemptFields"}},
    "formatters": {"line": {"format": "%(levelname)s %(name)s [%(task_id)s] %(message)s"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["attempt"],
            "formatter": "line",
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
