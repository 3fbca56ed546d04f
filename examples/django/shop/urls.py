"""The pages: place an order, and look at it."""

from django.urls import path
from orders import views

urlpatterns = [
    path("orders/", views.place),
    path("orders/<int:number>/", views.show),
]
