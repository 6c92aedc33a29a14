"""Addresses of the result page, its progress fragment and the heatmaps."""

from django.urls import path

from inference import reading_room_views, report_pages, similar_views, symptom_page, views

app_name = "inference"
_SCAN = "cases/<uuid:case_id>/scans/<uuid:scan_id>/"
_FINDING = "analyses/<uuid:analysis_id>/findings/<uuid:finding_id>/"

urlpatterns = [
    path("cases/<uuid:case_id>/symptoms/", symptom_page.case_symptoms, name="case_symptoms"),
    path(_SCAN, views.scan_result, name="scan_result"),
    path(_SCAN + "read/", reading_room_views.reading_room, name="reading_room"),
    path(_SCAN + "readings/<uuid:analysis_id>/", reading_room_views.earlier_reading, name="earlier_reading"),
    path(_SCAN + "display.nii.gz", views.display_volume, name="display_volume"),
    path(_SCAN + "read-again/", views.read_again, name="read_again"),
    path("analyses/<uuid:analysis_id>/fragment/", views.analysis_fragment, name="analysis_fragment"),
    path("analyses/<uuid:analysis_id>/report.pdf", report_pages.report, name="report"),
    path(_FINDING + "heatmap.nii.gz", views.heatmap_volume, name="heatmap_volume"),
    path(_FINDING + "heatmap.png", views.heatmap_picture, name="heatmap_picture"),
    path("similar/", similar_views.search, name="similar_search"),
    path("similar/<uuid:reference_id>/picture.png", similar_views.picture, name="similar_picture"),
    path(_SCAN + "similar/", similar_views.region, name="similar_region"),
    path(_SCAN + "similar/<uuid:reference_id>/", similar_views.compare, name="similar_compare"),
    path(_SCAN + "earlier/<uuid:other_id>/", similar_views.compare_own, name="similar_compare_own"),
    path(_FINDING + "confirm/", similar_views.confirm, name="confirm_finding"),
]
