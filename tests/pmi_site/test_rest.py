"""What all API answers have in common."""

import pytest
from django.urls import reverse
from rest_framework.exceptions import NotFound

from pmi_site.errors import UserError
from pmi_site.rest import exception_handler


def test_a_user_error_is_400_with_code_and_words():
    answer = exception_handler(UserError("too_big", "This is too big."), {})
    assert answer is not None
    assert (answer.status_code, answer.data) == (400, {"detail": "This is too big.", "code": "too_big"})


def test_other_errors_are_left_alone():
    assert exception_handler(RuntimeError("x"), {}) is None
    answer = exception_handler(NotFound(), {})
    assert answer is not None
    assert answer.status_code == 404


@pytest.mark.django_db
def test_documentation_is_served_without_inline_code_or_other_hosts(client):
    page = client.get(reverse("v1:docs"))
    assert page.status_code == 200
    assert "https://" not in page.text
    assert "<script>" not in page.text
    assert "<style" not in page.text


@pytest.mark.django_db
def test_schema_has_no_warning(capsys):
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.validation import validate_schema

    GENERATOR_STATS.reset()
    schema = SchemaGenerator(api_version="v1").get_schema(request=None, public=True)
    assert not GENERATOR_STATS
    validate_schema(schema)
    assert "/api/v1/token/" in schema["paths"]
