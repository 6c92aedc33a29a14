"""What the API says when it refuses: one body, whatever went wrong and wherever."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.http import Http404
from django.test import Client
from django.urls import reverse
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from rest_framework import exceptions
from rest_framework.test import APIClient
from rest_framework.throttling import ScopedRateThrottle

from accounts import services
from accounts.models import ApiToken
from cases.models import Case
from pmi_site import views
from pmi_site.errors import TooManyTries, UserError
from pmi_site.rest import exception_handler
from tests.factories import DoctorFactory

UNSAFE = ("post", "put", "patch", "delete")


def refused(exc: Exception) -> Any:
    """The answer to an exception."""
    answer = exception_handler(exc, {})
    assert answer is not None
    return answer


class TestOneBody:
    @pytest.mark.parametrize(
        ("exc", "status", "code"),
        [
            (Http404("No Case matches the given query."), 404, "not_found"),
            (exceptions.NotFound(), 404, "not_found"),
            (DjangoPermissionDenied("Only patients."), 403, "permission_denied"),
            (exceptions.PermissionDenied(), 403, "permission_denied"),
            (exceptions.NotAuthenticated(), 401, "not_authenticated"),
            (exceptions.AuthenticationFailed(), 401, "authentication_failed"),
            (
                exceptions.AuthenticationFailed("x", code="second_factor_missing"),
                401,
                "second_factor_missing",
            ),
            (exceptions.Throttled(wait=30), 429, "throttled"),
            (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
            (exceptions.UnsupportedMediaType("text/x"), 415, "unsupported_media_type"),
            (exceptions.ParseError("Bad JSON."), 400, "parse_error"),
        ],
    )
    def test_every_error_has_words_and_a_code(self, exc: Exception, status: int, code: str) -> None:
        answer = refused(exc)
        assert answer.status_code == status
        assert set(answer.data) == {"detail", "code"}
        assert answer.data["code"] == code and answer.data["detail"]
        assert "matches the given query" not in answer.data["detail"]

    def test_words_for_people_are_kept(self) -> None:
        assert refused(DjangoPermissionDenied("Only patients.")).data["detail"] == "Only patients."

    def test_fields_are_named_twice_so_that_older_programs_go_on(self) -> None:
        data = refused(exceptions.ValidationError({"email": ["Wrong."], "name": ["Long.", "Odd."]})).data
        assert data["code"] == "invalid"
        assert data["errors"] == {"email": ["Wrong."], "name": ["Long.", "Odd."]}
        assert data["email"] == ["Wrong."] and data["name"] == ["Long.", "Odd."]
        assert data["detail"] == "email: Wrong. name: Long. Odd."

    def test_what_belongs_to_no_field(self) -> None:
        data = refused(exceptions.ValidationError({"non_field_errors": ["Not both."]})).data
        assert (data["detail"], data["non_field_errors"]) == ("Not both.", ["Not both."])
        data = refused(exceptions.ValidationError("Not both.", code="both")).data
        expected = {"detail": "Not both.", "code": "both", "errors": {"non_field_errors": ["Not both."]}}
        assert data == expected

    def test_inner_fields_have_their_whole_name(self) -> None:
        told = {"symptoms": {"cough": ["Yes or no."]}, "verdicts": [{}, {"label": ["Unknown."]}]}
        data = refused(exceptions.ValidationError(told)).data
        assert data["errors"] == {"symptoms.cough": ["Yes or no."], "verdicts.1.label": ["Unknown."]}
        assert data["symptoms"] == {"cough": ["Yes or no."]}

    @pytest.mark.django_db
    def test_a_field_named_code_does_not_take_the_codes_place(self, api_as: Any, doctor: Any) -> None:
        data = api_as(doctor).post(reverse("v1:care-invitation-code"), {}).json()
        assert data["code"] == "invalid"
        assert data["errors"] == {"code": ["This field is required."]}

    @pytest.mark.django_db
    def test_over_the_wire(self, api_as: Any, patient: Any) -> None:
        client = api_as(patient)
        answers = {
            "not_authenticated": APIClient().get("/api/v1/cases/"),
            "authentication_failed": APIClient(headers={"Authorization": "Token x"}).get("/api/v1/cases/"),
            "not_found": client.get(reverse("v1:case-detail", args=["7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10"])),
            "method_not_allowed": client.delete("/api/v1/cases/"),
            "unsupported_media_type": client.post("/api/v1/cases/", "x", content_type="text/x"),
            "parse_error": client.post("/api/v1/cases/", "{", content_type="application/json"),
            "invalid": client.post("/api/v1/cases/", {"kind": "cat"}),
        }
        for code, answer in answers.items():
            assert answer.json()["code"] == code
            assert answer.json()["detail"]

    @pytest.mark.django_db
    def test_a_doctor_s_token_without_a_second_step_says_why(self) -> None:
        doctor = DoctorFactory.create(second_factor=False)
        key = ApiToken.new_key()
        ApiToken.objects.create(user=doctor, name="x", digest=ApiToken.digest_of(key))
        answer = APIClient(headers={"Authorization": f"Token {key}"}).get("/api/v1/cases/")
        assert (answer.status_code, answer.json()["code"]) == (401, "second_factor_missing")
        assert answer["WWW-Authenticate"] == "Token"

    @pytest.mark.django_db
    def test_a_page_that_is_not_there(self, api_as: Any, patient: Any) -> None:
        answer = api_as(patient).get("/api/v1/cases/?page=99")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestWaiting:
    def test_who_has_to_wait_is_told_how_long(self) -> None:
        answer = refused(TooManyTries("too_many", "Wait.", wait=90))
        assert (answer.status_code, answer["Retry-After"]) == (429, "90")
        assert answer.data == {"detail": "Wait.", "code": "too_many"}

    def test_where_nobody_knows_nothing_is_promised(self) -> None:
        assert "Retry-After" not in refused(TooManyTries("too_many", "Wait."))
        assert "Retry-After" not in refused(UserError("bad", "Bad."))

    @pytest.mark.django_db
    def test_a_rate_of_the_api(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"token": "1/min"})
        client = APIClient()
        client.post("/api/v1/token/", {})
        answer = client.post("/api/v1/token/", {})
        assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
        assert 0 < int(answer["Retry-After"]) <= 60


@pytest.mark.django_db
class TestAddresses:
    @pytest.mark.parametrize("debug", [False, True])
    @pytest.mark.parametrize(
        "address", ["/api/v1/cases/foo/", "/api/v1/nope/", "/api/v1/nope", "/api/v1/a/b/c"]
    )
    def test_what_is_not_there_is_json(self, settings: Any, address: str, debug: bool) -> None:
        settings.DEBUG = debug
        for method in ("get", *UNSAFE):
            answer = getattr(Client(enforce_csrf_checks=True), method)(address)
            assert answer.status_code == 404
            assert answer.json() == {"detail": "Not found.", "code": "not_found"}

    @pytest.mark.parametrize("address", ["/api/", "/api/v2/cases/"])
    def test_outside_of_the_version_too(self, client: Client, address: str) -> None:
        answer = client.get(address)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_in_the_language_asked_for(self, client: Client) -> None:
        answer = client.get("/api/v1/nope/", headers={"accept-language": "es"})
        assert answer.json()["detail"] == "No encontrado."

    def test_pages_stay_pages(self, client: Client) -> None:
        answer = client.get("/nowhere/")
        assert answer.status_code == 404 and "There is nothing here" in answer.text

    @pytest.mark.parametrize("debug", [False, True])
    @pytest.mark.parametrize("method", UNSAFE)
    def test_nothing_is_lost_without_the_slash(
        self, settings: Any, patient: Any, method: str, debug: bool
    ) -> None:
        settings.DEBUG = debug
        _token, key = services.create_token(patient, "x")
        client = APIClient(headers={"Authorization": f"Token {key}"})
        wish = {"title": "Cough", "kind": "chest_xray"}
        answer = getattr(client, method)("/api/v1/cases", wish)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_slash")
        assert "/" in answer.json()["detail"]
        assert not Case.objects.exists()
        assert client.post("/api/v1/cases/", wish).status_code == 201

    @pytest.mark.parametrize("debug", [False, True])
    def test_reading_is_sent_on_with_what_was_asked(self, settings: Any, client: Client, debug: bool) -> None:
        settings.DEBUG = debug
        answer = client.get("/api/v1/conditions?kind=any&search=a")
        assert (answer.status_code, answer["Location"]) == (301, "/api/v1/conditions/?kind=any&search=a")

    def test_an_address_is_never_made_into_another_site_s(self, client: Client) -> None:
        assert client.get("/api/v1//evil.example").status_code == 404


class TestPagesOfErrors:
    """Django asks these where no view of the API could answer."""

    def test_a_crash(self, rf: Any) -> None:
        with translation.override("en"):
            answer = views.server_error(rf.get("/api/v1/cases/"))
        assert (answer.status_code, answer["Content-Type"]) == (500, "application/json")
        assert b'"code": "server_error"' in answer.content

    def test_a_crash_of_a_view_over_the_wire(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("secret detail")

        monkeypatch.setattr("resources.selectors.search_conditions", broken)
        answer = Client(raise_request_exception=False).get("/api/v1/conditions/")
        assert (answer.status_code, answer.json()["code"]) == (500, "server_error")
        assert "secret" not in answer.text

    def test_others(self, rf: Any) -> None:
        request = rf.post("/api/v1/cases/")
        for answer, status, code in (
            (views.not_found(request, Http404()), 404, "not_found"),
            (views.csrf_failure(request), 403, "csrf_failed"),
            (views.bad_request(request, SuspiciousOperation()), 400, "bad_request"),
        ):
            assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")
            assert f'"code": "{code}"'.encode() in answer.content

    @pytest.mark.django_db
    def test_a_host_that_is_not_ours(self) -> None:
        answer = Client().get("/api/v1/conditions/", headers={"host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        page = Client().get("/", headers={"host": "evil.example"})
        assert page.status_code == 400 and page["Content-Type"].startswith("text/html")

    @pytest.mark.django_db
    def test_nul_in_an_address_that_is_not_there(self, client: Client) -> None:
        answer = client.get("/api/v1/nope/?x=%00")
        assert (answer.status_code, answer.json()["code"]) == (400, "null_character")


@pytest.fixture(scope="module")
def schema() -> Any:
    """The schema that programs read."""
    return SchemaGenerator(api_version="v1").get_schema(request=None, public=True)


class TestSchema:
    def operation(self, schema: Any, address: str, method: str) -> dict[str, Any]:
        found: dict[str, Any] = schema["paths"][f"/api/v1/{address}"][method]["responses"]
        return found

    def test_refusals_are_documented(self, schema: Any) -> None:
        one = self.operation(schema, "cases/{id}/", "patch")
        assert {"400", "401", "403", "404", "429"} <= set(one)
        assert one["404"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
        assert "Retry-After" in one["429"]["headers"]
        refused = schema["components"]["schemas"]["Invalid"]["properties"]
        assert set(refused) == {"detail", "code", "errors"}

    def test_only_those_that_can_come(self, schema: Any) -> None:
        listed = self.operation(schema, "conditions/", "get")
        assert {"400", "401", "404", "429"} <= set(listed) and "403" not in listed
        assert "404" not in self.operation(schema, "worklist/", "get")
        token = self.operation(schema, "token/", "post")
        assert {"400", "429"} <= set(token) and not {"401", "404"} & set(token)

    def test_every_list_of_pages_says_that_a_page_may_not_be_there(self, schema: Any) -> None:
        paged = 0
        for path, operations in schema["paths"].items():
            asked = {one["name"] for one in operations.get("get", {}).get("parameters", [])}
            if "page" in asked:
                paged += 1
                assert {"400", "404"} <= operations["get"]["responses"].keys(), path
        assert paged > 10

    @pytest.mark.parametrize(
        ("address", "method", "code"),
        [
            ("analyses/", "post", "404"),
            ("similar/", "post", "404"),
            ("reviews/", "post", "404"),
            ("reviews/sign/", "post", "404"),
            ("reviews/", "get", "400"),
            ("cases/", "get", "400"),
            ("analyses/{id}/reread/", "post", "400"),
        ],
    )
    def test_refusals_of_ids_and_filters(self, schema: Any, address: str, method: str, code: str) -> None:
        assert code in self.operation(schema, address, method)

    def test_what_a_view_says_itself_stays(self, schema: Any) -> None:
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                for code, answer in operation["responses"].items():
                    assert answer.get("description") is not None, (path, method, code)
        assert set(schema["components"]["schemas"]["Error"]["required"]) == {"detail", "code"}
