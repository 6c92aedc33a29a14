"""Addresses of the result page, its progress fragment and the heatmaps."""

from django.urls import path

from inference import views

app_name = "inference"
_SCAN = "cases/<uuid:case_id>/scans/<uuid:scan_id>/"
_FINDING = "analyses/<uuid:analysis_id>/findings/<uuid:finding_id>/"

urlpatterns = [
    path(_SCAN, views.scan_result, name="scan_result"),
    path(_SCAN + "display.nii.gz", views.display_volume, name="display_volume"),
    path(_SCAN + "read-again/", views.read_again, name="read_again"),
    path("analyses/<uuid:analysis_id>/fragment/", views.analysis_fragment, name="analysis_fragment"),
    path(_FINDING + "heatmap.nii.gz", views.heatmap_volume, name="heatmap_volume"),
    path(_FINDING + "heatmap.png", views.heatmap_picture, name="heatmap_picture"),
]
