"""The administrator's desk: choosing models and retrying, without medical content."""

import pytest
from django.urls import reverse

from inference import services
from inference.models import Analysis


@pytest.fixture
def desk(admin_user, as_user):
    return as_user(admin_user)


def act(client, name, action, *rows):
    return client.post(
        reverse(f"admin:inference_{name}_changelist"),
        {"action": action, "_selected_action": [str(row.pk) for row in rows]},
        follow=True,
    )


def test_pages_open(desk, models, stored_scan):
    analysis = services.request_analysis(stored_scan().pk)
    for name, row in (("modelversion", models["gate"]), ("analysis", analysis)):
        assert desk.get(reverse(f"admin:inference_{name}_changelist")).status_code == 200
        assert desk.get(reverse(f"admin:inference_{name}_change", args=[row.pk])).status_code == 200
        assert desk.get(reverse(f"admin:inference_{name}_add")).status_code == 403


def test_medical_content_stays_out(desk, models, stored_scan):
    analysis = services.request_analysis(stored_scan().pk)
    Analysis.objects.filter(pk=analysis.pk).update(
        next_step="SEE A DOCTOR", probabilities={"glioma": 0.87654}
    )
    page = desk.get(reverse("admin:inference_analysis_change", args=[analysis.pk])).content.decode()
    assert "SEE A DOCTOR" not in page
    assert "0.87654" not in page


def test_retry_reads_failed_ones_again(desk, models, stored_scan):
    failed = services.request_analysis(stored_scan().pk)
    services.fail(services.claim(failed.pk), "internal_error", "Broke.")
    waiting = services.request_analysis(stored_scan().pk)
    act(desk, "analysis", "retry", failed, waiting)
    assert failed.scan.analyses.filter(status="queued").count() == 1
    assert waiting.scan.analyses.count() == 1
