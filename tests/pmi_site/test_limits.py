"""How long a body may be, and what an address may hold."""

from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client
from django.urls import reverse
from rest_framework.exceptions import ParseError
from rest_framework.test import APIClient

from pmi_site import middleware
from pmi_site.errors import TooLarge
from pmi_site.parsers import JSONParser
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db
TOKEN = "/api/v1/token/"


class Unread(BytesIO):
    """A body that must not be read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")


@pytest.fixture
def small(settings: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit of 1000 bytes for everything that takes no scans."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    monkeypatch.setattr(middleware, "ENVELOPE_BYTES", 0)
    return 1000


@pytest.fixture
def nothing_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own upload handler would fail."""
    monkeypatch.setattr(TemporaryFileUploadHandler, "new_file", None)


def announced(path: str, length: int | None, content_type: str = "application/json", **more: str) -> Any:
    """The answer to a POST of which only the headers came."""
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type}
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return Client(enforce_csrf_checks=True).request(**environ, **more, **{"wsgi.input": Unread()})


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_an_api_body_over_the_limit_is_refused_unread(content_type: str) -> None:
    answer = announced(TOKEN, 4 * 1024**3, content_type)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large" and "5.0" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/language/", "/admin/login/"])
def test_a_form_over_the_limit_is_refused_unread(path: str) -> None:
    answer = announced(path, 7 * 1024**2, "multipart/form-data; boundary=x")
    assert answer.status_code == 413 and "is larger than 5.0" in answer.text


@pytest.mark.usefixtures("nothing_on_disk")
def test_a_refused_file_is_written_nowhere(small: int) -> None:
    file = SimpleUploadedFile("x.txt", b"x" * 2 * small)
    assert Client(enforce_csrf_checks=True).post("/accounts/login/", {"file": file}).status_code == 413


@pytest.mark.parametrize("length", ["", "nonsense", "-5"])
def test_a_length_that_is_none_takes_nothing(length: str) -> None:
    environ = {"PATH_INFO": TOKEN, "REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json"}
    body = {"wsgi.input": BytesIO(b"[" * 100), "CONTENT_LENGTH": length}
    assert Client().request(**environ, **body).status_code == 400


def test_chunks_without_a_length_are_refused_in_words() -> None:
    answer = announced(TOKEN, None, HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    page = announced(
        "/accounts/login/", None, "multipart/form-data; boundary=x", HTTP_TRANSFER_ENCODING="chunked"
    )
    assert page.status_code == 411 and "Content-Length" in page.text


@pytest.mark.parametrize("name", sorted(middleware.TAKE_SCANS))
@pytest.mark.usefixtures("nothing_on_disk")
def test_scans_have_limits_of_their_own(name: str, small: int, patient: Any, stopped_searches: None) -> None:
    with_case = name in ("cases:upload", "v1:case-scans")
    address = reverse(name, args=[CaseFactory.create(patient=patient).pk] if with_case else [])
    client = Client()
    client.force_login(patient, backend="django.contrib.auth.backends.ModelBackend")
    files = {"files": SimpleUploadedFile("x.png", b"x" * 2 * small)}
    assert client.post(address, files).status_code in (202, 302, 400)
    answer = client.post(address, {"condition": "x" * 2 * small}, content_type="application/json")
    assert answer.status_code == 413


@pytest.fixture
def stopped_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker takes a search."""
    monkeypatch.setattr("inference.similar_searches._send", lambda search_id: None)


def test_deeply_nested_json_is_a_parse_error() -> None:
    answer = APIClient().post(TOKEN, "[" * 200_000, content_type="application/json")
    assert answer.status_code == 400 and "nested" in answer.json()["detail"]
    with pytest.raises(ParseError):
        JSONParser().parse(BytesIO(b'{"a":' * 200_000))


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (rb'{"email": "\ud800", "password": "x"}', "utf-8"),
        (rb'{"\udfff": 1}', "utf-8"),
        (rb'{"name": {"a": ["\udc00\ud800"]}}', "utf-8"),
        (rb'{"email": "+2AA-"}', "utf-7"),
    ],
)
def test_half_a_character_is_a_parse_error(body: bytes, charset: str) -> None:
    answer = APIClient().post(TOKEN, body, content_type=f"application/json; charset={charset}")
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")
    assert "half of a character" in answer.json()["detail"]


def test_whole_characters_are_read_however_they_are_written() -> None:
    assert JSONParser().parse(BytesIO(rb'["\ud83e\ude7b", "\\ud800"]')) == ["\U0001fa7b", r"\ud800"]


def test_json_is_read_up_to_the_limit(small: int) -> None:
    assert JSONParser().parse(BytesIO(b"[" + b" " * (small - 2) + b"]")) == []
    body = BytesIO(b" " * 100 * small)
    with pytest.raises(TooLarge):
        JSONParser().parse(body)
    assert body.tell() == small + 1


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/conditions/?kind=%00",
        "/api/v1/conditions/?code=a%00b",
        "/api/v1/treatments/?condition=%00",
        "/api/v1/treatments/?kind=%00",
        "/api/v1/resources/?country=%00",
        "/api/v1/resources/?language=%00",
        "/api/v1/resources/?audience=x&audience=%00",
        "/api/v1/resources/?%00=x",
    ],
)
def test_nul_in_an_address_of_the_api_is_400_for_anybody(address: str) -> None:
    answer = APIClient().get(address)
    assert (answer.status_code, answer.json()["code"]) == (400, "null_character")
    assert answer.json()["detail"]


@pytest.mark.parametrize("query", ["analyses/?status=%00", "model-versions/?kind=%00", "scans/?case=%00"])
def test_nul_in_an_address_is_400_for_who_is_signed_in(query: str, api_as: Any, patient: Any) -> None:
    answer = api_as(patient).get(f"/api/v1/{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "null_character")


@pytest.mark.parametrize(
    "address", ["/?kind=%00", "/shared/a%00b/", "/conditions/?kind=%00", "/language/?next=%00"]
)
def test_nul_in_an_address_of_a_page_is_400_in_words(address: str) -> None:
    answer = Client().get(address)
    assert answer.status_code == 400 and "Null characters are not allowed" in answer.text


def test_nul_in_another_charset_is_found() -> None:
    answer = Client().get("/api/v1/conditions/?kind=%2BAAA-", CONTENT_TYPE="text/plain; charset=utf-7")
    assert (answer.status_code, answer.json()["code"]) == (400, "null_character")


def test_searches_take_nul_out_by_themselves(admin_user: Any, as_user: Any) -> None:
    assert Client().get("/conditions/?q=%00").status_code == 200
    assert APIClient().get("/api/v1/conditions/?search=%00").status_code == 200
    assert as_user(admin_user).get("/admin/accounts/user/?q=%00").status_code == 200
