"""Tasks: those that Django's documentation shows, and those that the tests need."""

import asyncio
import logging
import threading

from django.core.mail import send_mail
from django.db import connection

from frameworks.shop.framework import task
from frameworks.shop.models import Thing
from identtqueue.django import job_options

logger = logging.getLogger(__name__)


# --- those of the documentation -----------------------------------------------------------------


@task
def send_to_users(emails, subject, message):
    return send_mail(subject=subject, message=message, from_email=None, recipient_list=emails)


@task(priority=2, queue_name="emails")
def email_users(emails, subject, message):
    return send_mail(subject=subject, message=message, from_email=None, recipient_list=emails)


@task(takes_context=True)
def email_users_with_context(context, emails, subject, message):
    logger.debug("Attempt %d: %s", context.attempt, context.task_result.id)
    return send_mail(subject=subject, message=message, from_email=None, recipient_list=emails)


@task()
def double_dictionary(key):
    return {key: key * 2}


@task
def my_task(thing_num):
    return Thing.objects.get(num=thing_num).num


@task
def process_data(value):
    return value


@task()
def calculate_meaning_of_life() -> int:
    return 42


# --- those of the tests -------------------------------------------------------------------------


@task
def add(a, b=1):
    return a + b


@task
async def add_in_the_loop(a, b=1):
    await asyncio.sleep(0)
    return a + b


@task
def fails(text):
    raise LookupError(text)


@task
@job_options(max_retries=2, timeout_seconds=30)
def fails_once(text):
    seen.append(text)
    if seen.count(text) < 2:
        raise LookupError(text)
    return text


seen: list[str] = []


@task(takes_context=True)
def tells_context(context):
    result = context.task_result
    context.job.report_progress("half way")
    return {
        "id": result.id,
        "attempt": context.attempt,
        "status": result.status,
        "queue": result.task.queue_name,
        "token": context.job.fencing_token,
        "workers": result.worker_ids,
        "thread": threading.current_thread().name,
    }


@task
def returns_a_set():
    seen.append("a set")
    return {1, 2}


@task
def uses_the_database(num):
    Thing.objects.create(num=num)
    return connection.connection is not None


@task
async def uses_the_database_in_the_loop(num):
    await Thing.objects.acreate(num=num)
    return await Thing.objects.filter(num=num).acount()


@task
def names_things(*args, **kwargs):
    return [list(args), kwargs]


@task(backend="here", queue_name="default")
def elsewhere(a):
    return a


class Gate:
    """A gate at which tasks of a test wait."""

    def __init__(self) -> None:
        self.open = threading.Event()


gate = Gate()


@task
def waits():
    gate.open.wait(30)
    return "through"
