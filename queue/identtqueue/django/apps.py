"""The Django app, which brings the management command."""

from __future__ import annotations

from django.apps import AppConfig


class IdenttqueueConfig(AppConfig):
    """The app `identtqueue.django`. It has no models."""

    name = "identtqueue.django"
    label = "identtqueue"
    verbose_name = "idenTTqueue"
