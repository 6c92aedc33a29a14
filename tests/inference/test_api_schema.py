"""What the API's schema says of cases, scans, readings and searches is what they answer."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from cases.models import Scan
from tests.factories import ScanFactory

LEVELS = {"emergency", "urgent", "soon", "routine", "none_found", "inconclusive"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(SchemaGenerator(api_version="v1").get_schema(request=None, public=True))


def answers(schema: dict[str, Any], path: str, method: str = "get") -> dict[str, Any]:
    return dict(schema["paths"][f"/api/v1/{path}"][method]["responses"])


def values(schema: dict[str, Any], component: str, name: str) -> set[str]:
    """The values that a field of a component may have."""
    field = schema["components"]["schemas"][component]["properties"][name]
    found: set[str] = set(field.get("enum", ()))
    for part in (field, *field.get("allOf", ()), *field.get("oneOf", ())):
        if "$ref" in part:
            found |= set(schema["components"]["schemas"][part["$ref"].rsplit("/")[-1]]["enum"])
    return found


@pytest.mark.parametrize(
    ("component", "name", "expected"),
    [
        ("Analysis", "danger", LEVELS | {""}),
        ("Analysis", "ai_danger", LEVELS | {""}),
        ("Analysis", "danger_by", {"model", "doctor", "symptoms", ""}),
        ("Analysis", "kind", {"brain_mri", "chest_xray", "knee_xray", ""}),
        ("Alarm", "level", LEVELS),
    ],
)
def test_every_value_is_named(schema: dict[str, Any], component: str, name: str, expected: set[str]) -> None:
    assert values(schema, component, name) == expected


@pytest.mark.parametrize(
    ("path", "method", "codes"),
    [
        ("cases/{id}/scans/", "post", {"200", "201", "400", "413"}),
        ("scans/", "get", {"200", "400"}),
        ("analyses/", "get", {"200", "400"}),
        ("model-versions/", "get", {"200", "400"}),
        ("similar/", "post", {"200", "202", "400", "413"}),
    ],
)
def test_refusals_are_named(schema: dict[str, Any], path: str, method: str, codes: set[str]) -> None:
    assert codes <= set(answers(schema, path, method))


def test_lists_are_still_pages(schema: dict[str, Any]) -> None:
    for name, component in (("cases", "Case"), ("scans", "Scan"), ("analyses", "Analysis")):
        body = answers(schema, f"{name}/")["200"]["content"]["application/json"]["schema"]
        assert body["$ref"].endswith(f"/Paginated{component}List")
    body = answers(schema, "cases/{id}/scans/")["200"]["content"]["application/json"]["schema"]
    assert body["items"]["$ref"].endswith("/Scan")


def test_a_refused_upload_has_one_of_two_shapes(schema: dict[str, Any]) -> None:
    body = answers(schema, "cases/{id}/scans/", "post")["400"]["content"]["application/json"]["schema"]
    shapes = schema["components"]["schemas"][body["$ref"].rsplit("/")[-1]]["oneOf"]
    assert [shape["$ref"].rsplit("/")[-1] for shape in shapes] == ["UploadResult", "Error"]


@pytest.mark.django_db
def test_originals_have_the_types_that_are_named(schema: dict[str, Any], api_as: Any, patient: Any) -> None:
    named = set(answers(schema, "scans/{id}/original/")["200"]["content"])
    scan = ScanFactory.create(case__patient=patient)
    sent = set()
    # Every form in which intake keeps what was sent.
    for suffix in (".dcm", ".zip", ".png", ".jpg", ".tif", ".nii.gz"):
        scan.original.save(f"original{suffix}", scan.preview.file, save=True)
        answer = api_as(patient).get(f"/api/v1/scans/{scan.pk}/original/")
        assert answer.getvalue()
        sent.add(answer["Content-Type"])
    assert Scan.objects.count() == 1 and sent == named
    report = answers(schema, "analyses/{id}/report/")["200"]["content"]
    assert list(report) == ["application/pdf"]
