"""The link check: polite, and never a way into the local network."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from resources import links, tasks
from resources.models import LinkCheck, Resource, Source


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]] = []

    def do_HEAD(self) -> None:
        self.seen.append((self.command, self.path))
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
        elif self.path == "/no-head":
            self.send_response(405 if self.command == "HEAD" else 200)
        else:
            self.send_response({"/gone": 404, "/robots": 403, "/down": 500}.get(self.path, 200))
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.seen = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


def local(url: str) -> links.Outcome:
    return links.check(url, allow=lambda address: address == "127.0.0.1", timeout=3)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/", ""),
        ("/no-head", ""),
        ("/robots", ""),
        ("/to?/fine", ""),
        ("/gone", "the site answers 404"),
        ("/down", "the site answers 500"),
        ("/loop", "too many redirects"),
        ("/to?file:///etc/passwd", "only http and https addresses are opened"),
        ("/to?http://[::1]/", "the address is not on the public internet"),
    ],
)
def test_outcomes(server: str, path: str, problem: str) -> None:
    assert local(server + path).problem == problem


INSIDE = "the address is not on the public internet"
NO_WEB = "only http and https addresses are opened"
NO_PAGE = "not an address of a page"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1/", INSIDE),
        ("http://localhost/", INSIDE),
        ("http://10.0.0.1/", INSIDE),
        ("http://192.168.1.1/", INSIDE),
        ("http://169.254.169.254/latest/meta-data/", INSIDE),
        ("http://[::1]/", INSIDE),
        ("http://[::ffff:127.0.0.1]/", INSIDE),
        ("http://0.0.0.0/", INSIDE),
        ("http://2130706433/", INSIDE),
        ("ftp://example.org/", NO_WEB),
        ("file:///etc/passwd", NO_WEB),
        ("http://user:secret@example.org/", NO_PAGE),
        ("http:///nowhere", NO_PAGE),
    ],
)
def test_nothing_internal_is_opened(url: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(links.socket, "create_connection", forbidden)
    assert links.check(url).problem == problem


def test_a_public_page_that_redirects_inside_is_refused(server: str) -> None:
    target = server + "/secret"
    first = links.check(f"{server}/to?{target}", allow=_once(), timeout=3)
    assert first.problem == "the address is not on the public internet"
    assert ("HEAD", "/secret") not in Handler.seen


def _once() -> Any:
    answers = [True]
    return lambda address: answers.pop() if answers else False


def test_one_request_at_a_time_per_site() -> None:
    busy: dict[str, int] = {}

    def slow(url: str) -> links.Outcome:
        host = url.split("/")[2]
        busy[host] = busy.get(host, 0) + 1
        assert busy[host] == 1
        threading.Event().wait(0.02)
        busy[host] -= 1
        return links.Outcome(url, 200)

    urls = [f"https://{host}.example/{n}" for host in "abcdef" for n in range(3)]
    assert {o.url for o in links.check_all([*urls, urls[0]], opener=slow, pause=0)} == set(urls)


@pytest.mark.django_db
def test_results_are_remembered_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    Source.objects.create(citation="A", url="https://a.example/")
    Source.objects.create(citation="B")
    Resource.objects.create(kind="article", title="T", publisher="P", url="https://b.example/")
    Resource.objects.create(
        kind="article", title="T", publisher="P", url="https://c.example/", status="retired"
    )
    LinkCheck.objects.create(url="https://old.example/", checked_at="2026-01-01T00:00Z", is_ok=True)
    monkeypatch.setattr(
        links,
        "check_all",
        lambda urls: [links.Outcome(u, 404, "the site answers 404" if "a." in u else "") for u in urls],
    )
    tasks.check_links()
    errors, out = StringIO(), StringIO()
    with pytest.raises(CommandError, match="1 addresses do not work"):
        call_command("check_links", stdout=out, stderr=errors)
    assert "https://a.example/: the site answers 404" in errors.getvalue()
    assert dict(LinkCheck.objects.values_list("url", "failures")) == {
        "https://a.example/": 2,
        "https://b.example/": 0,
    }
    call_command("check_links", dry_run=True, stdout=out)
    assert "2 addresses; none was opened." in out.getvalue()
