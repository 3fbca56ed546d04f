"""The tasks of the shop."""

import logging

from django.core.mail import send_mail
from django.utils import timezone

from identtqueue.django import job_options
from orders.models import Order

try:
    from django.tasks import task  # Django 6
except ImportError:
    from django_tasks import task  # its backport for Django 5.2

logger = logging.getLogger(__name__)


@task(queue_name="emails", priority=10)
@job_options(max_retries=5, timeout_seconds=60)
def confirm(order_id):
    """Send the confirmation once, however often this runs."""
    order = Order.objects.get(pk=order_id)
    if order.confirmed_at is None:
        send_mail(f"Your order {order.pk}", f"You get {order.item}.", None, [order.email])
        order.confirmed_at = timezone.now()
        order.save(update_fields=["confirmed_at"])
    logger.info("order %d is confirmed", order.pk)
    return order.pk


@task(takes_context=True)
async def count_orders(context):
    """Count the orders: an async task runs in the event loop of the worker."""
    found = await Order.objects.acount()
    await context.job.report_progress({"found": found})
    return found
