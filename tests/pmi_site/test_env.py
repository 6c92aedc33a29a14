"""Typed environment variables."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from pmi_site import env


@pytest.fixture
def setenv(monkeypatch):
    return lambda value: monkeypatch.setenv("PMI_X", value)


def test_unset_and_blank_give_the_default(setenv, monkeypatch):
    monkeypatch.delenv("PMI_X", raising=False)
    for _ in range(2):
        assert env.text("PMI_X", "d") == "d"
        assert env.flag("PMI_X", True) is True
        assert env.integer("PMI_X", 3) == 3
        assert env.words("PMI_X", ("a",)) == ["a"]
        assert env.path("PMI_X", Path("/d")) == Path("/d")
        assert env.database("PMI_X") is None
        with pytest.raises(ImproperlyConfigured, match="PMI_X must be set"):
            env.required("PMI_X")
        setenv("  ")


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("Yes", True), ("off", False), ("FALSE", False)])
def test_flags(setenv, value, meant):
    setenv(value)
    assert env.flag("PMI_X", not meant) is meant


@pytest.mark.parametrize(
    ("value", "message"), [("x", "whole number"), ("0", "at least 1"), ("9", "at most 8")]
)
def test_numbers_out_of_bounds_are_explained(setenv, value, message):
    setenv(value)
    with pytest.raises(ImproperlyConfigured, match=message):
        env.integer("PMI_X", 2, minimum=1, maximum=8)


def test_a_bad_flag_is_explained(setenv):
    setenv("maybe")
    with pytest.raises(ImproperlyConfigured, match="true/false"):
        env.flag("PMI_X")


def test_words_and_paths(setenv):
    setenv("a, b,,")
    assert env.words("PMI_X") == ["a", "b"]
    setenv("~/x")
    assert env.path("PMI_X", Path("/")) == Path.home() / "x"


def test_a_database_url(setenv):
    setenv("postgresql://me:p%40ss@db.example:5433/pmi?sslmode=require")
    found = env.database("PMI_X")
    assert found is not None
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "me",
        "p@ss",
        "db.example",
        "5433",
        "pmi",
    )
    assert found["OPTIONS"] == {"connect_timeout": "10", "sslmode": "require"}
    assert found["ENGINE"] == "django.db.backends.postgresql"


def test_how_long_to_wait_for_a_database_can_be_said(setenv):
    setenv("postgresql://db.example/pmi?connect_timeout=3")
    found = env.database("PMI_X")
    assert found is not None
    assert found["OPTIONS"] == {"connect_timeout": "3"}


@pytest.mark.parametrize("value", ["mysql://x/y", "postgresql://host", "postgresql://h:port/pmi"])
def test_other_database_urls_are_refused(setenv, value):
    setenv(value)
    with pytest.raises(ImproperlyConfigured):
        env.database("PMI_X")
