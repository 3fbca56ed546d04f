"""Settings of the Django project of the tests. Redis is named by the environment or by a test."""

import os

import django

SECRET_KEY = "of no use"
DEBUG = False
USE_TZ = True
TIME_ZONE = "Europe/Vienna"
INSTALLED_APPS = ["identtqueue.django", "frameworks.shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", ":memory:"),
        "OPTIONS": {"timeout": 20},
    }
}
TASKS = {
    "default": {
        "BACKEND": "identtqueue.django.IdenttqueueBackend",
        "QUEUES": ["default", "emails"],
    },
    "here": {"BACKEND": "frameworks.shop.framework.ImmediateBackend", "QUEUES": []},
}
MAIL = "django.core.mail.backends.locmem.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAIL}}
else:
    EMAIL_BACKEND = MAIL
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
