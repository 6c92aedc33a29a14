"""Addresses of the case pages and the private files."""

from django.urls import path

from cases import file_views, followup_views, sharing_views, views, worklist_pages

app_name = "cases"
_SCAN = "cases/<uuid:case_id>/scans/<uuid:scan_id>/"

urlpatterns = [
    path("worklist/", worklist_pages.show, name="worklist"),
    path("worklist/news/", worklist_pages.news, name="worklist_news"),
    path("worklist/views/", worklist_pages.saved_views, name="worklist_saved"),
    path("worklist/views/<uuid:view_id>/rename/", worklist_pages.rename_view, name="worklist_rename"),
    path("worklist/views/<uuid:view_id>/delete/", worklist_pages.delete_view, name="worklist_delete"),
    path("cases/", views.case_list, name="list"),
    path("cases/new/", views.case_new, name="new"),
    path("cases/<uuid:case_id>/", views.case_detail, name="detail"),
    path("cases/<uuid:case_id>/edit/", views.case_edit, name="edit"),
    path("cases/<uuid:case_id>/delete/", views.case_delete, name="delete"),
    path("cases/<uuid:case_id>/scans/", views.upload_scans, name="upload"),
    path("cases/<uuid:case_id>/scans/list/", views.scan_list, name="scan_list"),
    path("cases/<uuid:case_id>/share/", sharing_views.share, name="share"),
    path("cases/<uuid:case_id>/share/<uuid:link_id>/revoke/", sharing_views.revoke, name="revoke_share"),
    path("follow-ups/<uuid:follow_up_id>/done/", followup_views.done, name="follow_up_done"),
    path("follow-ups/<uuid:follow_up_id>/delete/", followup_views.remove, name="delete_follow_up"),
    path(_SCAN + "delete/", views.scan_delete, name="scan_delete"),
    path(_SCAN + "scan.nii.gz", file_views.scan_volume, name="scan_volume"),
    path(_SCAN + "preview.png", file_views.scan_preview, name="scan_preview"),
    path(_SCAN + "slice.png", file_views.scan_slice, name="scan_slice"),
    path(_SCAN + "original/", file_views.scan_original, name="scan_original"),
]
