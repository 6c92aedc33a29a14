"""Readings over the API: what an owner and a doctor with a grant see, and that nobody else sees anything."""

import uuid

import pytest

from accounts.models import AccessLog
from inference import services, tasks
from inference.models import Analysis
from tests import factories


@pytest.fixture
def analysis(models, stored_scan, patient):
    """A finished reading of the patient's film, with a heatmap."""
    made = services.request_analysis(stored_scan(patient=patient).pk)
    tasks.run_analysis.run(str(made.pk))
    made.refresh_from_db()
    assert made.status == "succeeded", made.reason
    return made


def urls(analysis):
    finding = analysis.findings.exclude(heatmap="").exclude(heatmap=None).first()
    base = f"/api/v1/analyses/{analysis.pk}/"
    return {
        "detail": base,
        "heatmap": f"{base}findings/{finding.pk}/heatmap/",
        "png": f"{base}findings/{finding.pk}/heatmap-png/",
        "reread": f"{base}reread/",
    }


def test_the_owner_reads_it(analysis, patient, api_as):
    answer = api_as(patient).get(urls(analysis)["detail"])
    assert answer.status_code == 200
    assert answer.data["status"] == "succeeded"
    assert answer.data["danger"] == "urgent"
    first = answer.data["findings"][0]
    assert (first["label"], first["condition"], first["call"]) == ("pneumonia", "pneumonia", "likely")
    assert first["heatmap_url"].endswith("/heatmap/")
    assert set(answer.data["probabilities"]) == {"no_finding", "pneumonia", "bacterial", "viral", "covid19"}
    assert AccessLog.objects.filter(action="view_reading", object_id=analysis.pk).exists()


def test_heatmaps_are_private_files(analysis, patient, api_as):
    client = api_as(patient)
    for name, magic in (("heatmap", b"\x1f\x8b"), ("png", b"\x89PNG")):
        answer = client.get(urls(analysis)[name])
        assert answer.status_code == 200
        assert answer["Cache-Control"] == "private, no-store"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert b"".join(answer.streaming_content).startswith(magic)


def test_a_doctor_with_a_grant_reads_but_does_not_write(analysis, patient, doctor, api_as):
    factories.CareRelationshipFactory.create(patient=patient, doctor=doctor)
    client = api_as(doctor)
    assert client.get(urls(analysis)["detail"]).status_code == 200
    assert client.get(urls(analysis)["heatmap"]).status_code == 200
    assert client.post(urls(analysis)["reread"]).status_code == 403
    assert client.post("/api/v1/analyses/", {"scan": str(analysis.scan_id)}).status_code == 403


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_nobody_else_knows_of_it(analysis, who, api_as, request):
    client = api_as(request.getfixturevalue(who))
    for name, url in urls(analysis).items():
        answer = client.post(url) if name == "reread" else client.get(url)
        assert answer.status_code == 404, name
    assert client.post("/api/v1/analyses/", {"scan": str(analysis.scan_id)}).status_code == 404
    listed = client.get("/api/v1/analyses/")
    assert listed.data["count"] == 0
    assert client.get(f"/api/v1/analyses/?scan={analysis.scan_id}").data["count"] == 0


def test_anonymous_gets_nothing(analysis, api_as):
    assert api_as(None).get(urls(analysis)["detail"]).status_code in (401, 403)


def test_a_finding_of_another_analysis_is_not_served(analysis, patient, api_as, stored_scan):
    other = services.request_analysis(stored_scan(patient=patient).pk)
    finding = analysis.findings.first()
    url = f"/api/v1/analyses/{other.pk}/findings/{finding.pk}/heatmap/"
    assert api_as(patient).get(url).status_code == 404


def test_asking_and_asking_again(analysis, patient, api_as):
    client = api_as(patient)
    same = client.post("/api/v1/analyses/", {"scan": str(analysis.scan_id)})
    assert (same.status_code, same.data["id"]) == (202, str(analysis.pk))
    fresh = client.post(urls(analysis)["reread"])
    assert fresh.status_code == 202
    assert fresh.data["status"] == "queued"
    again = client.post(urls(analysis)["reread"])
    assert again.data["id"] == fresh.data["id"]
    assert Analysis.objects.count() == 2


def test_filters(analysis, patient, api_as):
    client = api_as(patient)
    scan, case = analysis.scan_id, analysis.scan.case_id
    for query in (f"scan={scan}", f"case={case}", "status=succeeded", ""):
        assert client.get(f"/api/v1/analyses/?{query}").data["count"] == 1
    for query in (f"scan={uuid.uuid4()}", "status=failed"):
        assert client.get(f"/api/v1/analyses/?{query}").data["count"] == 0
    assert client.get(f"/api/v1/analyses/{uuid.uuid4()}/").status_code == 404
    assert client.delete(urls(analysis)["detail"]).status_code == 405


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("analyses/?status=bogus", "queued, running, succeeded, rejected, failed"),
        ("analyses/?scan=bogus", "scan"),
        ("analyses/?case=17", "case"),
        ("model-versions/?kind=elbow", "brain_mri, chest_xray, knee_xray, gate"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(patient, api_as, path, named):
    answer = api_as(patient).get(f"/api/v1/{path}")
    assert (answer.status_code, answer.data["code"]) == (400, "bad_filter")
    assert named in answer.data["detail"]


def test_what_is_answered_about_a_person_is_kept_by_nobody(analysis, patient, api_as):
    for path in ("analyses/", f"analyses/{analysis.pk}/", f"analyses/{uuid.uuid4()}/", "analyses/?scan=x"):
        assert api_as(patient).get(f"/api/v1/{path}")["Cache-Control"] == "private, no-store", path
    asked = api_as(patient).post("/api/v1/analyses/", {"scan": str(analysis.scan_id)})
    found = api_as(patient).post("/api/v1/similar/", {"analysis": str(analysis.pk)})
    assert asked["Cache-Control"] == found["Cache-Control"] == "private, no-store"


def test_the_list_costs_the_same_for_many(
    models, stored_scan, patient, api_as, django_assert_max_num_queries
):
    for _ in range(6):
        services.request_analysis(stored_scan(patient=patient).pk)
    with django_assert_max_num_queries(6):
        assert api_as(patient).get("/api/v1/analyses/").data["count"] == 6


def test_model_versions_are_open_facts(models, patient, api_as):
    answer = api_as(patient).get("/api/v1/model-versions/?kind=knee_xray")
    assert answer.data["count"] == 1
    facts = answer.data["results"][0]
    assert facts["limits"] == ["Drawn pictures only."]
    assert len(facts["labels"]) == 5
    assert facts["is_active"] is True
