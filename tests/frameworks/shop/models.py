"""A model for the tests of transactions and connections."""

from django.db import models


class Thing(models.Model):
    """A thing with a number."""

    num = models.IntegerField()
