"""Do the addresses that PMI sends people to still work?

Addresses come from curators and imports, so opening them is a risk of its own: only http and https, only to
public addresses of the internet, and the name is resolved once and that very address is connected to, so that
a name cannot turn into an internal one between the check and the request. Redirects go through the same gate.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from django.utils import timezone

from resources.choices import Status
from resources.models import LinkCheck, Resource, Source

TIMEOUT = 10.0
MAX_REDIRECTS = 5
HOSTS_AT_A_TIME = 4
PAUSE_PER_HOST = 1.0
AGENT = "PMI-link-check (health information site; one request per page)"
# Sites that refuse a HEAD or a robot's request still have the page: no reason to call it broken.
_REFUSES_ROBOTS = {401, 403, 405, 406, 429, 999}


@dataclass(frozen=True)
class Outcome:
    """What came of opening one address. `problem` is empty when it works."""

    url: str
    status: int | None = None
    problem: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.problem


class Unreachable(Exception):
    """The address cannot or must not be opened; the message says why."""


def is_public(address: str) -> bool:
    """An address of the public internet: not private, loopback, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if mapped is not None:
        ip = mapped
    return ip.is_global and not ip.is_multicast


def check(url: str, *, allow: Callable[[str], bool] = is_public, timeout: float = TIMEOUT) -> Outcome:
    """Open `url`: HEAD, then GET where the site does not answer a HEAD well. Reads no body."""
    try:
        status = _follow(url, "HEAD", allow, timeout)
        if status >= 400:
            status = _follow(url, "GET", allow, timeout)
    except Unreachable as error:
        return Outcome(url, None, str(error))
    except TimeoutError:
        return Outcome(url, None, "no answer in time")
    except ssl.SSLError:
        return Outcome(url, None, "the site's certificate is not valid")
    except (OSError, http.client.HTTPException, ValueError):
        return Outcome(url, None, "cannot connect")
    if status >= 400 and status not in _REFUSES_ROBOTS:
        return Outcome(url, status, f"the site answers {status}")
    return Outcome(url, status)


def check_all(
    urls: Iterable[str],
    *,
    opener: Callable[[str], Outcome] = check,
    pause: float = PAUSE_PER_HOST,
) -> list[Outcome]:
    """Check every address once: a few hosts at a time, never two requests to one host together."""
    by_host: dict[str, list[str]] = {}
    for url in dict.fromkeys(urls):
        by_host.setdefault(urlsplit(url).netloc.lower(), []).append(url)

    def one_host(addresses: list[str]) -> list[Outcome]:
        outcomes = []
        for number, url in enumerate(addresses):
            if number:
                time.sleep(pause)
            outcomes.append(opener(url))
        return outcomes

    with ThreadPoolExecutor(max_workers=HOSTS_AT_A_TIME) as pool:
        return [outcome for outcomes in pool.map(one_host, by_host.values()) for outcome in outcomes]


def addresses_in_use() -> list[str]:
    """Every address that readers can meet or a draft may bring: resources not retired, and sources."""
    resources = Resource.objects.exclude(status=Status.RETIRED).values_list("url", flat=True)
    sources = Source.objects.exclude(url="").values_list("url", flat=True)
    return sorted({*resources, *sources})


def remember(outcomes: Iterable[Outcome]) -> None:
    """Store what came of each check; a failure counts up until the address works again."""
    now = timezone.now()
    for outcome in outcomes:
        row = LinkCheck.objects.filter(url=outcome.url).first() or LinkCheck(url=outcome.url)
        row.checked_at, row.is_ok = now, outcome.is_ok
        row.http_status, row.problem = outcome.status, outcome.problem[:200]
        row.failures = 0 if outcome.is_ok else row.failures + 1
        row.last_ok_at = now if outcome.is_ok else row.last_ok_at
        row.save()


def forget_unused(urls: Iterable[str]) -> None:
    """Drop the results of addresses that nothing names any more."""
    LinkCheck.objects.exclude(url__in=list(urls)).delete()


class _Pinned(http.client.HTTPConnection):
    """A connection to one resolved address, whatever the name says by then."""

    def __init__(self, host: str, port: int, address: str, timeout: float, tls: bool) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address, self._tls = address, tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._tls:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _follow(url: str, method: str, allow: Callable[[str], bool], timeout: float) -> int:
    """The final status after redirects."""
    deadline = time.monotonic() + 3 * timeout
    for _step in range(MAX_REDIRECTS + 1):
        if time.monotonic() > deadline:
            raise TimeoutError
        status, location = _request(url, method, allow, timeout)
        if status not in (301, 302, 303, 307, 308) or not location:
            return status
        url = urljoin(url, location)
    raise Unreachable("too many redirects")


def _request(url: str, method: str, allow: Callable[[str], bool], timeout: float) -> tuple[int, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise Unreachable("only http and https addresses are opened")
    if not parts.hostname or parts.username or parts.password:
        raise Unreachable("not an address of a page")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    address = _resolve(parts.hostname, port, allow)
    connection = _Pinned(parts.hostname, port, address, timeout, tls)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Letters outside ASCII travel percent-encoded.
    path = "".join(c if " " < c < "\x7f" else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    try:
        default = port == (443 if tls else 80)
        host = parts.hostname if default else f"{parts.hostname}:{port}"
        connection.putrequest(method, path, skip_host=True)
        for name, value in {
            "Host": host,
            "User-Agent": AGENT,
            "Accept": "*/*",
            "Connection": "close",
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.getheader("Location") or ""
    finally:
        connection.close()


def _resolve(host: str, port: int, allow: Callable[[str], bool]) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise Unreachable("the site's name is not known") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    # One internal address among them is enough to refuse: which one is connected to must not be luck.
    if not addresses or not all(allow(address) for address in addresses):
        raise Unreachable("the address is not on the public internet")
    return addresses[0]
