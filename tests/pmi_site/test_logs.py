"""Tracebacks in the logs: where something broke, never what stood in the row or the scan."""

import io
import logging

import pytest

from accounts.models import User
from pmi_site.logs import WithoutIdentifiers


def logged(function) -> str:
    """What a handler like the site's writes of an error."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(WithoutIdentifiers())
    logger = logging.Logger("x")
    logger.addHandler(handler)
    try:
        function()
    except Exception:
        logger.exception("It broke for %s", "a.b@example.org", stack_info=True)
    return stream.getvalue()


def fail_twice() -> None:
    """An error with a cause, both of which repeat what a person wrote."""
    try:
        raise ValueError("Nia New, born 1980, nia@example.org")
    except ValueError as error:
        raise KeyError("PatientName: New^Nia") from error


def test_a_traceback_tells_the_place_and_not_the_values():
    text = logged(fail_twice)
    assert "It broke for [address]" in text
    assert "test_logs.py" in text and "fail_twice" in text
    assert "KeyError: (message withheld)" in text and "ValueError: (message withheld)" in text
    assert "a.b@example.org" not in text
    assert text.count("(message withheld)") == 2


@pytest.mark.django_db
def test_the_database_names_no_row(patient):
    address = patient.email

    def twice() -> None:
        User.objects.create_user(address, "x")

    text = logged(twice)
    assert "IntegrityError: (message withheld)" in text
    assert address not in text and "DETAIL" not in text


def test_errors_of_the_program_keep_their_message():
    assert "AttributeError: 'int' object has no attribute 'x'" in logged(lambda: (1).x)
    text = logged(lambda: (_ for _ in ()).throw(TypeError("not for c@example.org")))
    assert "TypeError: not for [address]" in text


def test_a_line_without_an_error_stays():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "plain", (), None)
    assert WithoutIdentifiers().filter(record)
    assert (record.getMessage(), record.exc_text) == ("plain", None)
