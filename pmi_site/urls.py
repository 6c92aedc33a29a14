"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from pmi_site import views

handler404 = "pmi_site.views.not_found"
urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("language/", views.set_reading, name="set_language"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.account.urls")),
    path("account/", include("accounts.urls")),
    path("api/v1/", include("pmi_site.api", namespace="v1")),
    path("", include("cases.urls")),
    path("", include("inference.urls")),
    path("", include("resources.urls")),
]
