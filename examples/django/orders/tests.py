"""The shop's own tests. They need neither Redis nor a worker."""

from unittest import mock

from django.core import mail
from django.test import TestCase, override_settings

from orders import tasks, views
from orders.models import Order

FRAMEWORK = tasks.task.__module__.partition(".base")[0]  # django.tasks, or its backport
AT_ONCE = {"default": {"BACKEND": f"{FRAMEWORK}.backends.immediate.ImmediateBackend", "QUEUES": []}}


@override_settings(TASKS=AT_ONCE)
class OrderTests(TestCase):
    """Orders, with tasks that run at once."""

    def place(self):
        """Place an order, and commit the transaction."""
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/orders/", {"email": "ada@example.org", "item": "a lamp"})
        return answer.json()["order"]

    def test_an_order_is_confirmed(self):
        """The confirmation is a mail, and the order knows of it."""
        number = self.place()
        self.assertEqual([message.subject for message in mail.outbox], [f"Your order {number}"])
        self.assertIsNotNone(Order.objects.get(pk=number).confirmed_at)

    def test_a_confirmation_is_sent_once(self):
        """A task may run twice."""
        number = self.place()
        tasks.confirm.call(number)
        self.assertEqual(len(mail.outbox), 1)

    def test_nothing_is_enqueued_before_the_commit(self):
        """A worker could not see the order yet."""
        with mock.patch.object(views, "enqueue_confirmation") as enqueue:
            with self.captureOnCommitCallbacks():
                self.client.post("/orders/", {"email": "ada@example.org", "item": "a lamp"})
            enqueue.assert_not_called()
