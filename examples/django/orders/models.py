"""An order, and the task that confirms it."""

from django.db import models


class Order(models.Model):
    """An order of one item, and whether it is confirmed."""

    email = models.EmailField()
    item = models.CharField(max_length=100)
    confirmed_at = models.DateTimeField(null=True)
    confirmation = models.CharField(max_length=300, blank=True)
    """Id of the task that sends the confirmation."""
