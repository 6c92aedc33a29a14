"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from accounts.admin_login import admin_login
from pmi_site import views

handler400 = "pmi_site.views.bad_request"
handler404 = "pmi_site.views.not_found"
handler500 = "pmi_site.views.server_error"
urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("language/", views.set_reading, name="set_language"),
    # Before the admin's own: that one asks for nothing but a password.
    path("admin/login/", admin_login, name="admin_login"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("account/", include("accounts.urls")),
    path("api/v1/", include("pmi_site.api", namespace="v1")),
    path("", include("cases.urls")),
    path("", include("inference.urls")),
    path("", include("resources.urls")),
]
