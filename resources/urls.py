"""Addresses of this app's pages."""

from django.urls import path

from resources import views

app_name = "resources"
urlpatterns = [
    path("conditions/", views.condition_list, name="condition_list"),
    path("conditions/<slug:slug>/", views.condition_detail, name="condition_detail"),
]
