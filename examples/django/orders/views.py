"""The views of the shop."""

from functools import partial

from django.db import transaction
from django.http import Http404, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from orders.models import Order
from orders.tasks import confirm


@csrf_exempt
@require_POST
def place(request):
    """Store an order, and enqueue its confirmation when the transaction has committed."""
    with transaction.atomic():
        order = Order.objects.create(email=request.POST["email"], item=request.POST["item"])
        transaction.on_commit(partial(enqueue_confirmation, order.pk))
    return JsonResponse({"order": order.pk}, status=201)


def enqueue_confirmation(order_id):
    """Enqueue the confirmation, and note the id of its task."""
    result = confirm.enqueue(order_id)
    Order.objects.filter(pk=order_id).update(confirmation=result.id)


def show(request, number):
    """Tell how far the confirmation has come."""
    order = Order.objects.filter(pk=number).first()
    if order is None:
        raise Http404
    status = confirm.get_result(order.confirmation).status if order.confirmation else "READY"
    return JsonResponse({"order": order.pk, "item": order.item, "confirmation": status})
