"""Addresses of the account pages."""

from django.urls import path

from accounts import consent_pages, job_pages, notice_pages, views

app_name = "accounts"
urlpatterns = [
    path("", views.account, name="account"),
    path("waiting/", views.waiting, name="waiting"),
    path("sharing/", views.sharing, name="sharing"),
    path("sharing/<uuid:grant_id>/revoke/", views.revoke, name="revoke"),
    path("notices/", notice_pages.notices, name="notices"),
    path("notices/read/", notice_pages.read_all, name="read_notices"),
    path("notices/mails/", notice_pages.mails, name="notice_mails"),
    path("notices/<uuid:notice_id>/", notice_pages.follow, name="follow_notice"),
    path("consent/", consent_pages.consent, name="consent"),
    path("who-looked/", job_pages.looked, name="who_looked"),
    path("export/", job_pages.exports, name="exports"),
    path("export/<uuid:export_id>/pmi.zip", job_pages.download, name="export_download"),
    path("erase/", job_pages.erase, name="erase"),
    path("erased/", job_pages.erased, name="erased"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/delete/", views.delete_token, name="delete_token"),
]
