"""Where a person is signed in: what is kept of a session, shown of it, and how one is ended."""

import ipaddress
import re
import time
from datetime import timedelta
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User

# Writing the time of every request would turn each read into a write.
SEEN_STEP = 300.0
SEEN_KEY = "pmi.seen"
# The first that fits: Edge and Opera call themselves Chrome, too, and Chrome calls itself Safari.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def note_seen(request: HttpRequest) -> None:
    """Keep when, from which network and with what a session was last used; once in five minutes."""
    session = request.session
    now = time.time()
    if not isinstance(request.user, User) or now - session.get(SEEN_KEY, 0.0) < SEEN_STEP:
        return
    session[SEEN_KEY] = now
    UserSession.objects.create_from_request(request)


def end_one(user: User, session_id: int) -> bool:
    """Sign one of the person's sessions out at once; False when they have no such session."""
    session = UserSession.objects.filter(user=user, pk=session_id).first()
    if session is None:
        return False
    session.end()
    return True


def end_others(request: HttpRequest, user: User) -> int:
    """Sign the person out everywhere but here; how many sessions ended."""
    others = list(UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key))
    for session in others:
        session.end()
    return len(others)


def end_all(user_id: UUID) -> int:
    """Sign a person out everywhere; how many sessions ended."""
    sessions = list(UserSession.objects.filter(user_id=user_id))
    for session in sessions:
        session.end()
    return len(sessions)


def sweep() -> int:
    """Forget sessions that are over; how many were forgotten."""
    now = timezone.now()
    Session.objects.filter(expire_date__lt=now).delete()
    oldest = now - timedelta(seconds=settings.SESSION_COOKIE_AGE)
    ended, _rows = UserSession.objects.filter(last_seen_at__lt=oldest).delete()
    return ended


def device_of(user_agent: str) -> str:
    """A browser's own words about itself, shortened: "Firefox, Linux". They cannot be checked."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if re.search(rf"\b{mark}\b", user_agent)), "")
    return ", ".join(filter(None, (browser, system))) or _("unknown device")


def coarse(address: str) -> str:
    """The network of an address, not the address: the first three of four numbers, or 48 of 128 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _("not known")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return _("this computer")
    length = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))
