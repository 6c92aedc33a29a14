"""Addresses of the account pages."""

from django.urls import path

from accounts import (
    consent_pages,
    doctor_pages,
    job_pages,
    notice_pages,
    session_pages,
    sharing_pages,
    views,
)

app_name = "accounts"
urlpatterns = [
    path("", views.account, name="account"),
    path("begin/", views.begin, name="begin"),
    path("waiting/", views.waiting, name="waiting"),
    path("sharing/", sharing_pages.sharing, name="sharing"),
    path("sharing/code/", sharing_pages.new_code, name="new_code"),
    path("sharing/<uuid:grant_id>/revoke/", sharing_pages.revoke, name="revoke"),
    path(
        "sharing/invitations/<uuid:invitation_id>/cancel/",
        sharing_pages.cancel_invitation,
        name="cancel_invitation",
    ),
    path(
        "sharing/requests/<uuid:request_id>/",
        sharing_pages.answer_request,
        name="answer_request",
    ),
    path("patients/", doctor_pages.patients, name="patients"),
    path("patients/code/", doctor_pages.use_code, name="use_code"),
    path("patients/ask/", doctor_pages.ask, name="ask_patient"),
    path("patients/<uuid:held_id>/give-back/", doctor_pages.give_back, name="give_back"),
    path(
        "patients/invitations/<uuid:received_id>/",
        doctor_pages.answer_invitation,
        name="answer_invitation",
    ),
    path(
        "patients/requests/<uuid:sent_id>/cancel/",
        doctor_pages.cancel_request,
        name="cancel_request",
    ),
    path("patients/emergency/", doctor_pages.emergency_access, name="emergency"),
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
    path("sessions/<int:session_id>/end/", session_pages.end_session, name="end_session"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/delete/", views.delete_token, name="delete_token"),
]
