"""In which language the knowledge base answers over REST, how it says so, and what filters take."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from resources.models import Condition, Resource, Translation
from tests.resources.conftest import make_condition, make_treatment

pytestmark = pytest.mark.django_db
API = "/api/v1"
SPANISH = {"accept-language": "es-MX, es;q=0.9, en;q=0.5"}


def languages(answer: Any) -> list[str]:
    """How an answer is labelled."""
    return [part.strip() for part in answer["Content-Language"].split(",")]


@pytest.fixture
def api() -> APIClient:
    return APIClient()


@pytest.fixture
def translated() -> Condition:
    """A condition and a treatment of it that have Spanish texts."""
    condition = make_condition("shown")
    treatment = make_treatment(condition)
    for entry, name in (({"condition": condition}, "Enfermedad"), ({"treatment": treatment}, "Descanso")):
        Translation.objects.create(**entry, language="es", status="published", texts={"name": name})
    return condition


class TestLanguage:
    @pytest.mark.parametrize(
        ("query", "headers", "language"),
        [
            ({}, {}, "en"),
            ({}, SPANISH, "es"),
            ({"language": "es"}, {}, "es"),
            ({"language": "es-MX"}, {}, "es"),
            ({"language": "en"}, SPANISH, "en"),
            ({"language": "xx"}, SPANISH, "en"),
        ],
    )
    def test_the_label_is_the_language_of_the_texts(
        self, api: APIClient, translated: Condition, query: Any, headers: Any, language: str
    ) -> None:
        words = {"en": ("Made-up illness", "Rest"), "es": ("Enfermedad", "Descanso")}[language]
        treatment = f"treatments/{translated.treatments.get().pk}/"
        for path, word in (("conditions/shown/", words[0]), (treatment, words[1])):
            answer = api.get(f"{API}/{path}", query, headers=headers)
            assert (answer.json()["name"], answer.json()["language"]) == (word, language)
            assert languages(answer) == [language]
        for path, word in (("conditions/", words[0]), ("treatments/", words[1])):
            answer = api.get(f"{API}/{path}", query, headers=headers)
            (row,) = answer.json()["results"]
            assert (row["name"], row["language"]) == (word, language)
            assert languages(answer) == [language]
            assert {"Accept-Language", "Cookie"} <= {part.strip() for part in answer["Vary"].split(",")}

    def test_treatments_inside_a_condition_say_theirs(self, api: APIClient, translated: Condition) -> None:
        make_treatment(translated, name="Surgery")
        body = api.get(f"{API}/conditions/shown/", headers=SPANISH).json()
        assert {(one["name"], one["language"]) for one in body["treatments"]} == {
            ("Descanso", "es"),
            ("Surgery", "en"),
        }

    def test_what_is_not_translated_is_not_called_spanish(self, api: APIClient) -> None:
        make_condition("shown")
        for path in ("conditions/shown/", "conditions/"):
            assert languages(api.get(f"{API}/{path}", headers=SPANISH)) == ["en"]

    def test_a_list_in_two_languages_names_both(self, api: APIClient, translated: Condition) -> None:
        make_condition("other")
        answer = api.get(f"{API}/conditions/", headers=SPANISH)
        assert languages(answer) == ["es", "en"]
        assert languages(api.get(f"{API}/conditions/", {"search": "nothing"}, headers=SPANISH)) == ["es"]

    def test_each_language_has_its_mark(self, api: APIClient, translated: Condition) -> None:
        path = f"{API}/conditions/shown/"
        english, spanish = api.get(path), api.get(path, headers=SPANISH)
        assert english["ETag"] != spanish["ETag"]
        assert spanish["ETag"] == api.get(path, {"language": "es"})["ETag"]
        foreign = api.get(path, headers={**SPANISH, "if-none-match": english["ETag"]})
        assert foreign.status_code == 200
        again = api.get(path, headers={**SPANISH, "if-none-match": spanish["ETag"]})
        assert (again.status_code, again.content) == (304, b"")

    def test_a_short_answer_does_not_change_the_label(self, api: APIClient, translated: Condition) -> None:
        path, query = f"{API}/conditions/shown/", {"language": "es"}
        mark = api.get(path, query)["ETag"]
        again = api.get(path, query, headers={"if-none-match": mark})
        assert (again.status_code, languages(again)) == (304, ["es"])

    def test_errors_are_in_the_language_asked_for(self, api: APIClient) -> None:
        answer = api.get(f"{API}/conditions/none/", headers=SPANISH)
        assert answer.json()["detail"] == "No encontrado." and languages(answer) == ["es"]

    def test_resources_say_which_languages_they_lead_to(self, api: APIClient) -> None:
        for code in ("en", "es"):
            Resource.objects.create(
                kind="article",
                title="T",
                publisher="P",
                url=f"https://{code}.org/",
                language=code,
                status="published",
            )
        # Asking in Spanish hides nothing: a reader may well read more than one language.
        everything = api.get(f"{API}/resources/", headers=SPANISH)
        assert everything.json()["count"] == 2 and languages(everything) == ["es", "en"]
        spanish = api.get(f"{API}/resources/", {"language": "es"})
        assert spanish.json()["count"] == 1 and languages(spanish) == ["es"]

    def test_searching_is_in_the_language_asked_for(self, api: APIClient, knowledge_base: None) -> None:
        found = api.get(f"{API}/conditions/", {"search": "neumonía"}, headers=SPANISH).json()
        assert "pneumonia" in {row["slug"] for row in found["results"]}

    def test_a_page_in_spanish_takes_no_query_for_each_row(
        self, api: APIClient, knowledge_base: None, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(5):
            body = api.get(f"{API}/treatments/", headers=SPANISH).json()
        assert {row["language"] for row in body["results"]} == {"es"}


class TestFilters:
    @pytest.mark.parametrize(
        ("path", "name", "named"),
        [
            ("conditions", "kind", "knee_xray"),
            ("conditions", "status", "published"),
            ("treatments", "kind", "surgery"),
            ("resources", "kind", "helpline"),
            ("resources", "audience", "carer"),
            ("resources", "language", "en"),
            ("resources", "country", "GB"),
        ],
    )
    def test_what_means_nothing_is_refused(self, api: APIClient, path: str, name: str, named: str) -> None:
        answer = api.get(f"{API}/{path}/", {name: "bogus!"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_filter")
        assert name in answer.json()["detail"] and named in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("conditions", {"kind": "knee_xray", "status": "published"}),
            ("conditions", {"kind": ""}),
            ("conditions", {"code": "no-such-code"}),
            ("treatments", {"kind": "surgery", "condition": "no-such-slug"}),
            ("resources", {"language": "pt-BR", "country": "US", "audience": "carer", "kind": "article"}),
        ],
    )
    def test_what_means_something_and_finds_nothing_is_not(
        self, api: APIClient, path: str, query: dict[str, str]
    ) -> None:
        answer = api.get(f"{API}/{path}/", query)
        assert (answer.status_code, answer.json()["results"]) == (200, [])

    def test_one_s_filter_does_not_keep_another_address_shut(self, api: APIClient) -> None:
        make_condition("shown")
        assert api.get(f"{API}/conditions/shown/", {"kind": "bogus"}).status_code == 200
