"""The model registry: who may look and decide, and what its pages say."""

import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import Role
from inference import model_docs, promotion, shadow
from inference.models import ModelUse, ModelVersion
from tests import factories
from tests.inference import reading_rows as rows
from tests.inference.test_review_export import reviewed
from tests.inference.test_shadow import add_version

pytestmark = pytest.mark.django_db

LIST = "admin:inference_modelversion_changelist"
PAGES = ("promote", "compare", "agreement")
DEEDS = ("promote", "roll_back", "shadow", "check", "agreement")


def page(version: ModelVersion, name: str = "") -> str:
    if not name:
        return reverse("admin:inference_modelversion_change", args=[version.pk])
    return reverse(f"admin:inference_model_{name}", args=[version.pk])


def text(response: Any) -> str:
    return str(response.content.decode())


def keeper(*permissions: str, role: str = Role.ADMIN) -> Any:
    """Somebody who may use the admin, with these permissions and no more."""
    user = factories.UserFactory.create(role=role, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="inference", codename__in=permissions)
    )
    return user


@pytest.fixture
def second(models, bundle_dir):
    return add_version(bundle_dir, "chest_xray", "2.0.0", "chest_two")


@pytest.fixture(autouse=True)
def explained(monkeypatch):
    """As if the knowledge base explained every label."""
    monkeypatch.setattr("inference.explained.holes", lambda version: [])


@pytest.fixture
def desk(as_user):
    return as_user(keeper("view_modelversion", "change_modelversion"))


def test_the_list_says_what_each_version_does(desk, models, second):
    shown = text(desk.get(reverse(LIST)))
    assert "Model registry" in shown and "never used" in shown and "active" in shown
    assert "Roll back" not in shown
    promotion.promote(second, None, models["chest_xray"].pk)
    shown = text(desk.get(reverse(LIST)))
    assert f"Roll back to {models['chest_xray'].version}" in shown and "by a command" in shown


def test_a_version_with_figures_sheet_and_documents(desk, models):
    shown = text(desk.get(page(models["chest_xray"])))
    for words in ("Data sheet", "Model card", "Figures on its test images", "Verify all files"):
        assert words in shown
    assert "Promote ..." not in shown


def test_promoting_asks_once_more_and_keeps_who(desk, models, second):
    active = models["chest_xray"]
    asked = desk.get(page(second, "promote"))
    assert active.version in text(asked) and "Yes, let it read from now on" in text(asked)
    assert promotion.active_of("chest_xray") == active
    answer = desk.post(page(second, "promote"), {"replaces": active.pk}, follow=True)
    assert "reads from now on" in text(answer)
    assert promotion.active_of("chest_xray") == second
    assert LogEntry.objects.filter(object_id=str(second.pk)).exists()
    assert ModelUse.objects.first().by is not None
    desk.post(page(second, "roll_back"))
    assert promotion.active_of("chest_xray") == active


def test_another_active_version_than_was_seen(desk, models, second):
    answer = desk.post(page(second, "promote"), {"replaces": uuid.uuid4()}, follow=True)
    assert "Nothing was changed" in text(answer)
    answer = desk.post(page(second, "promote"), {"replaces": "nonsense"}, follow=True)
    assert promotion.active_of("chest_xray") == models["chest_xray"]


def test_what_cannot_be_promoted_says_why(desk, models, second, bundle_dir, monkeypatch):
    (bundle_dir / "chest_two" / "models" / "model.safetensors").write_bytes(b"x")
    shown = text(desk.get(page(second, "promote")))
    assert "It cannot be promoted" in shown and "corrupt" in shown and "Yes, let it" not in shown
    assert "corrupt" in text(desk.get(reverse(LIST)))
    answer = desk.post(page(second, "check"), follow=True)
    assert "corrupt" in text(answer)
    monkeypatch.setattr("inference.explained.holes", lambda version: ["glioma: no advice"])
    assert "no advice" in text(desk.get(page(second, "promote")))


def test_a_trial_is_started_compared_and_ended(desk, models, second, run_tasks, stored_scan):
    from inference import services

    assert "On trial" in text(desk.post(page(second, "shadow"), {"shadow": "on"}, follow=True))
    scan = stored_scan("chest_xray", "no_finding")
    with run_tasks():
        services.request_analysis(scan.pk)
    with run_tasks():
        shadow.request(scan.analyses.get().pk)
    compared = text(desk.get(page(second, "compare")))
    assert str(scan.analyses.get().pk) in compared and "pneumonia" in compared
    for private in (scan.case.title, scan.case.patient.email, scan.case.patient.full_name, str(scan.pk)):
        assert private not in compared
    gate = desk.get(page(second, "compare"), {"against": models["gate"].pk})
    assert gate.status_code == 404
    assert "trial has ended" in text(desk.post(page(second, "shadow"), {"shadow": "off"}, follow=True))


def test_agreement_is_measured_in_the_background(desk, stored_scan, run_tasks):
    reviewed(stored_scan)
    version = ModelVersion.objects.get(kind="chest_xray")
    assert "Not measured yet" in text(desk.get(page(version, "agreement")))
    with run_tasks():
        answer = desk.post(page(version, "agreement"), follow=True)
    shown = text(answer)
    assert "Against signed reviews" in shown and "flatter the model" in shown and "Drift" in shown


def test_only_administrators_with_the_permission(as_user, models, second, patient, doctor, client):
    looks = as_user(keeper("view_modelversion"))
    nothing = as_user(keeper())
    curator = as_user(keeper("view_modelversion", "change_modelversion", role=Role.DOCTOR))
    addresses = [reverse(LIST), page(second), *(page(second, name) for name in PAGES)]
    for address in addresses:
        assert nothing.get(address).status_code == 403, address
        assert curator.get(address).status_code == 403, address
        for outsider in (as_user(patient), as_user(doctor), client):
            assert outsider.get(address).status_code == 302, address
    for address in addresses:
        wanted = 403 if address == page(second, "promote") else 200
        assert looks.get(address).status_code == wanted, address
    for name in DEEDS:
        for who in (nothing, curator):
            assert who.post(page(second, name)).status_code == 403, name
    for name in ("promote", "roll_back", "shadow"):
        assert looks.post(page(second, name), {"shadow": "on"}).status_code == 403
    assert "Promote ..." not in text(looks.get(page(second)))
    assert promotion.active_of("chest_xray") == models["chest_xray"]


def test_bad_ids_and_reading_changes_nothing(desk, models, second):
    for name in (*PAGES, *DEEDS):
        address = reverse(f"admin:inference_model_{name}", args=[uuid.uuid4()])
        assert desk.get(address).status_code == 404, name
    assert desk.get(reverse("admin:inference_modelversion_change", args=["nonsense"])).status_code == 404
    for name in ("roll_back", "shadow", "check"):
        assert desk.get(page(second, name)).status_code == 302
    assert not ModelUse.objects.filter(model_version=second).exists()


def test_documents_are_shown_without_anything_that_runs():
    html = model_docs.as_html(
        "# Title\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "[bad](javascript:alert(1)) [CLAIM](CLAIM.md) [good](https://example.org) ![x](https://example.org/x.png)"
    )
    assert "<h2>Title</h2>" in html and "<td>1</td>" in html
    assert "<script" not in html and "<img" not in html and 'href="javascript' not in html
    assert 'href="https://example.org"' in html


def test_a_changed_document_is_not_shown(models, bundle_dir):
    version = models["chest_xray"]
    card = bundle_dir / "chest_xray" / "docs" / "README.md"
    assert "docs/README.md" not in version.metadata["files"] or model_docs.document(version, "card")
    card.parent.mkdir(exist_ok=True)
    card.write_text("# Other words")
    assert model_docs.document(version, "card") == ""


def test_figures_are_read_from_any_shape():
    version = ModelVersion(metadata=rows.METADATA)
    assert [(f.name, f.value) for f in model_docs.figures(version)] == [
        ("images", 624.0),
        ("pneumonia: auc", 0.962),
    ]
    assert model_docs.figures(ModelVersion(metadata={})) == []
    undefined = {"all": {"images": 9, "quadratic_kappa": {"value": None, "ci95": []}}}
    assert [f.name for f in model_docs.figures(ModelVersion(metadata={"eval_metrics": undefined}))] == [
        "images"
    ]
