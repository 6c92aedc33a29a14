"""Addresses of the result page, its progress fragment and the heatmaps."""

from django.urls import path

from inference import (
    reading_room_views,
    record_pages,
    report_pages,
    review_pages,
    shared_pages,
    similar_views,
    symptom_page,
    views,
)

app_name = "inference"
_SCAN = "cases/<uuid:case_id>/scans/<uuid:scan_id>/"
_FINDING = "analyses/<uuid:analysis_id>/findings/<uuid:finding_id>/"
_SHARED = "shared/<str:token>/"
_SHARED_SCAN = _SHARED + "scans/<uuid:scan_id>/"

urlpatterns = [
    path("cases/<uuid:case_id>/symptoms/", symptom_page.case_symptoms, name="case_symptoms"),
    path(_SCAN, views.scan_result, name="scan_result"),
    path(_SCAN + "read/", reading_room_views.reading_room, name="reading_room"),
    path(_SCAN + "readings/<uuid:analysis_id>/", reading_room_views.earlier_reading, name="earlier_reading"),
    path(_SCAN + "review/", review_pages.review, name="review"),
    path(_SCAN + "review/second/", review_pages.ask_second_reader, name="ask_second_reader"),
    path("reviews/disagreements/", review_pages.disagreement_list, name="disagreements"),
    path(_SCAN + "display.nii.gz", views.display_volume, name="display_volume"),
    path(_SCAN + "read-again/", views.read_again, name="read_again"),
    path("analyses/<uuid:analysis_id>/fragment/", views.analysis_fragment, name="analysis_fragment"),
    path("record/", record_pages.own_record, name="record"),
    path("patients/<uuid:patient_id>/record/", record_pages.patient_record, name="patient_record"),
    path(_SHARED, shared_pages.shared, name="shared"),
    path(_SHARED_SCAN, shared_pages.shared_scan, name="shared_scan"),
    path(_SHARED_SCAN + "picture.png", shared_pages.shared_picture, name="shared_picture"),
    path(_SHARED_SCAN + "report.pdf", shared_pages.shared_report, name="shared_report"),
    path(
        _SHARED_SCAN + "findings/<uuid:finding_id>/heatmap.png",
        shared_pages.shared_heatmap,
        name="shared_heatmap",
    ),
    path("analyses/<uuid:analysis_id>/report.pdf", report_pages.report, name="report"),
    path(_FINDING + "heatmap.nii.gz", views.heatmap_volume, name="heatmap_volume"),
    path(_FINDING + "heatmap.png", views.heatmap_picture, name="heatmap_picture"),
    path("similar/", similar_views.search, name="similar_search"),
    path("similar/searches/<uuid:search_id>/", similar_views.found, name="similar_found"),
    path("similar/searches/<uuid:search_id>/wait/", similar_views.wait, name="similar_wait"),
    path("similar/<uuid:reference_id>/picture.png", similar_views.picture, name="similar_picture"),
    path(_SCAN + "similar/", similar_views.region, name="similar_region"),
    path(_SCAN + "similar/<uuid:reference_id>/", similar_views.compare, name="similar_compare"),
    path(_SCAN + "earlier/<uuid:other_id>/", similar_views.compare_own, name="similar_compare_own"),
]
