"""/api/v1/conditions|treatments|resources/"""

from typing import Any

import pytest
from rest_framework.test import APIClient

from resources.models import Resource, Translation, Treatment
from tests.resources.conftest import SLUGS, make_condition, make_treatment
from tests.test_schema_answers import hold, schema

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def api() -> APIClient:
    return APIClient()


@pytest.mark.usefixtures("knowledge_base")
class TestRead:
    def test_conditions(self, api: APIClient, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(3):
            body = api.get(f"{API}/conditions/").json()
        assert {entry["slug"] for entry in body["results"]} == set(SLUGS)
        assert body["results"][0]["page"].startswith("http://testserver/conditions/")

    @pytest.mark.parametrize("slug", SLUGS)
    def test_condition(self, api: APIClient, slug: str, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(12):
            body = api.get(f"{API}/conditions/{slug}/").json()
        assert body["is_reviewed"] is False
        for part in ("treatments", "advice", "resources", "sources", "red_flags"):
            assert body[part], part
        assert set(body["sources"][0]) == {"section", "citation", "url"}
        assert "id" not in body["resources"][0] and body["resources"][0]["url"].startswith("http")
        hold(api.get(f"{API}/conditions/{slug}/"), f"{API}/conditions/{{slug}}/")

    def test_the_schema_says_what_resources_and_sources_hold(self) -> None:
        parts = schema()["components"]["schemas"]
        for name, component in (("resources", "ConditionResource"), ("sources", "Citation")):
            items = parts["ConditionDetail"]["properties"][name]["items"]
            assert items == {"$ref": f"#/components/schemas/{component}"}
            assert parts[component]["properties"]["url"]["type"] == "string"

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"code": "ca40.0"}, {"bacterial-pneumonia"}),
            ({"kind": "any"}, {"unreadable-scan"}),
        ],
    )
    def test_condition_filters(self, api: APIClient, query: dict[str, str], expected: set[str]) -> None:
        body = api.get(f"{API}/conditions/", query).json()
        assert {entry["slug"] for entry in body["results"]} == expected

    @pytest.mark.parametrize("search", ["glioblastoma", "gliobastoma"])
    def test_the_best_match_comes_first(self, api: APIClient, search: str) -> None:
        body = api.get(f"{API}/conditions/", {"search": search}).json()
        assert body["results"][0]["slug"] == "glioma"

    def test_treatments(self, api: APIClient, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(4):
            body = api.get(f"{API}/treatments/", {"condition": "glioma", "kind": "surgery"}).json()
        (treatment,) = body["results"]
        assert treatment["name"] == "Operation"
        assert treatment["sources"]
        assert api.get(f"{API}/treatments/{treatment['id']}/").status_code == 200
        assert api.get(f"{API}/treatments/", {"search": "temozolomide"}).json()["count"] == 1

    def test_resources(self, api: APIClient, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(4):
            body = api.get(f"{API}/resources/", {"condition": "pneumonia", "language": "es"}).json()
        resource = body["results"][0]
        assert {one["language"] for one in body["results"]} == {"es"}
        assert resource["checked_on"] is None
        assert "pneumonia" in resource["conditions"]
        assert api.get(f"{API}/resources/{resource['id']}/").status_code == 200


@pytest.mark.parametrize("status", ["draft", "in_review", "retired"])
def test_drafts_are_hidden(api: APIClient, status: str) -> None:
    hidden, shown = make_condition("hidden", status=status), make_condition("shown")
    of_hidden, draft = make_treatment(hidden), make_treatment(shown, status=status)
    gone = Resource.objects.create(
        kind="article", title="T", publisher="P", url="https://a.org/", status=status
    )
    kept = Resource.objects.create(
        kind="article", title="T", publisher="P", url="https://b.org/", status="published"
    )
    kept.conditions.add(hidden, shown)
    assert [c["slug"] for c in api.get(f"{API}/conditions/").json()["results"]] == ["shown"]
    assert api.get(f"{API}/conditions/hidden/").status_code == 404
    assert api.get(f"{API}/treatments/").json()["results"] == []
    for treatment in (of_hidden, draft):
        assert api.get(f"{API}/treatments/{treatment.pk}/").status_code == 404
    (resource,) = api.get(f"{API}/resources/").json()["results"]
    assert resource["conditions"] == ["shown"]
    assert api.get(f"{API}/resources/{gone.pk}/").status_code == 404
    assert api.get(f"{API}/resources/", {"condition": "hidden"}).json()["results"] == []
    assert api.get(f"{API}/conditions/shown/").json()["treatments"] == []


@pytest.mark.parametrize("name", ["conditions", "treatments", "resources"])
def test_bad_id_and_wrong_method(api: APIClient, name: str) -> None:
    assert api.get(f"{API}/{name}/not-there/").status_code == 404
    assert api.get(f"{API}/{name}/", {"search": "\x00"}).status_code == 200
    assert api.get(f"{API}/{name}/", {"kind": "\x00"}).status_code == 400
    for method in (api.post, api.put, api.patch, api.delete):
        assert method(f"{API}/{name}/", {}).status_code in (401, 403, 405)
        assert method(f"{API}/{name}/not-there/", {}).status_code in (401, 403, 405)


class TestConditional:
    @pytest.mark.parametrize("path", ["conditions/", "conditions/shown/", "treatments/", "resources/"])
    def test_unchanged_answers_are_not_sent_again(self, api: APIClient, path: str) -> None:
        condition = make_condition("shown")
        treatment = make_treatment(condition)
        resource = Resource.objects.create(
            kind="article", title="T", publisher="P", url="https://example.org/", status="published"
        )
        first = api.get(f"{API}/{path}")
        assert first.status_code == 200
        again = api.get(f"{API}/{path}", headers={"if-none-match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        since = api.get(f"{API}/{path}", headers={"if-modified-since": first["Last-Modified"]})
        assert since.status_code == 304
        old = api.get(f"{API}/{path}", headers={"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"})
        assert old.status_code == 200
        condition.name = treatment.name = resource.title = "Other"
        for row in (condition, treatment, resource):
            row.save()
        changed = api.get(f"{API}/{path}", headers={"if-none-match": first["ETag"]})
        assert changed.status_code == 200 and "Other" in changed.text

    def test_errors_carry_no_mark(self, api: APIClient) -> None:
        assert "ETag" not in api.get(f"{API}/conditions/none/")


class TestCodes:
    def test_codeable_concept(self, api: APIClient) -> None:
        make_condition("shown", icd10="J18.9", snomed="233604007", clinical_name="Pneumonia")
        body = api.get(f"{API}/conditions/shown/").json()
        assert body["code"] == {
            "coding": [
                {"system": "http://hl7.org/fhir/sid/icd-10", "code": "J18.9", "display": "Pneumonia"},
                {"system": "http://snomed.info/sct", "code": "233604007", "display": "Pneumonia"},
            ],
            "text": "Made-up illness",
        }

    @pytest.mark.parametrize(
        ("code", "count"),
        [
            ("j18.9", 1),
            ("http://hl7.org/fhir/sid/icd-10|J18.9", 1),
            ("http://snomed.info/sct|J18.9", 0),
            ("|", 0),
            ("nonsense", 0),
        ],
    )
    def test_filter(self, api: APIClient, code: str, count: int) -> None:
        make_condition("shown", icd10="J18.9")
        assert api.get(f"{API}/conditions/", {"code": code}).json()["count"] == count


def test_language_and_status(api: APIClient) -> None:
    condition = make_condition("shown")
    Translation.objects.create(
        condition=condition, language="es", status="published", texts={"name": "Enfermedad"}
    )
    (entry,) = api.get(f"{API}/conditions/", {"language": "es"}).json()["results"]
    assert (entry["name"], entry["language"]) == ("Enfermedad", "es")
    assert api.get(f"{API}/conditions/shown/", {"language": "es"}).json()["name"] == "Enfermedad"
    assert api.get(f"{API}/conditions/", {"language": "xx"}).json()["results"][0]["language"] == "en"
    assert api.get(f"{API}/conditions/", {"status": "draft"}).json()["count"] == 0


@pytest.mark.usefixtures("knowledge_base")
class TestSearchOfTreatmentsAndResources:
    @pytest.mark.parametrize("search", ["radiotherapy", "radiotherpy", "radio therapy beam"])
    def test_misspelt_words_find_treatments(self, api: APIClient, search: str) -> None:
        found = api.get(f"{API}/treatments/", {"search": search}).json()["results"]
        assert search == "radio therapy beam" or found[0]["name"].startswith("Radiotherapy")

    def test_other_forms_of_a_word_are_found_in_the_text(self, api: APIClient) -> None:
        one = api.get(f"{API}/treatments/", {"search": "capsule"}).json()
        many = api.get(f"{API}/treatments/", {"search": "capsules"}).json()
        assert one["count"] == many["count"] >= 1

    def test_filters_hold_beside_a_search(self, api: APIClient) -> None:
        found = api.get(f"{API}/treatments/", {"search": "operation", "condition": "meningioma"}).json()
        assert found["count"] >= 1
        assert {row["condition"] for row in found["results"]} == {"meningioma"}

    def test_resources_by_publisher_and_by_a_slip(self, api: APIClient) -> None:
        exact = api.get(f"{API}/resources/", {"search": "Cancer Research"}).json()["results"]
        slip = api.get(f"{API}/resources/", {"search": "Cancer Reserch"}).json()["results"]
        assert [row["id"] for row in exact] == [row["id"] for row in slip] != []

    def test_resources_in_their_own_language(self, api: APIClient) -> None:
        found = api.get(f"{API}/resources/", {"search": "neumonia", "language": "es"}).json()
        assert found["count"] >= 1

    @pytest.mark.parametrize("search", ["operacion por la narizz", "operaciones nariz"])
    def test_treatments_in_the_language_of_the_answer(self, api: APIClient, search: str) -> None:
        found = api.get(f"{API}/treatments/", {"search": search, "language": "es"}).json()
        assert found["results"][0]["condition"] == "pituitary-tumour"
        assert api.get(f"{API}/treatments/", {"search": search, "language": "en"}).json()["count"] == 0

    def test_treatments_by_other_forms_of_a_word_in_another_language(self, api: APIClient) -> None:
        treatment = Treatment.objects.filter(status="published", condition__slug="meningioma").first()
        own = Translation.objects.get(treatment=treatment, language="es")
        own.texts["risks"] = "Xilófonos."
        own.save()
        asked = {"search": "xilófono", "language": "es-MX"}
        (found,) = api.get(f"{API}/treatments/", asked).json()["results"]
        assert found["id"] == str(own.treatment_id)
        Translation.objects.filter(pk=own.pk).update(status="draft")
        assert api.get(f"{API}/treatments/", asked).json()["count"] == 0

    def test_nothing_fits_nonsense(self, api: APIClient) -> None:
        for name in ("treatments", "resources"):
            assert api.get(f"{API}/{name}/", {"search": "xyzzyq"}).json()["count"] == 0

    def test_the_number_of_queries_is_small(self, api: APIClient, django_assert_max_num_queries: Any) -> None:
        for name in ("treatments", "resources"):
            with django_assert_max_num_queries(8):
                api.get(f"{API}/{name}/", {"search": "pneumonia"})
            with django_assert_max_num_queries(9):
                assert api.get(f"{API}/{name}/", {"search": "neumonía", "language": "es"}).json()["count"]
