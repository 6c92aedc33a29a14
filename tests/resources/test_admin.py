"""The curators' desk."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from resources.models import Condition, Treatment
from tests.resources.conftest import make_condition, make_source, make_treatment

pytestmark = pytest.mark.django_db
MODELS = ["condition", "treatment", "advice", "resource", "source"]


@pytest.fixture
def curator(client: Client) -> Client:
    user: Any = get_user_model().objects.create_superuser(
        email="curator@example.org", password="a-long-password-1"
    )
    client.force_login(user)
    return client


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize("name", MODELS)
def test_every_page_opens(curator: Client, name: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(20):
        assert (
            curator.get(reverse(f"admin:resources_{name}_changelist"), {"q": "pneumonia"}).status_code == 200
        )
    assert curator.get(reverse(f"admin:resources_{name}_add")).status_code == 200
    if name in MODELS[:3]:
        due = curator.get(reverse(f"admin:resources_{name}_changelist"), {"review": "nobody"})
        assert due.status_code == 200


@pytest.mark.usefixtures("knowledge_base")
def test_a_list_of_lines_is_edited_as_lines(curator: Client) -> None:
    condition = Condition.objects.get(slug="glioma")
    page = curator.get(reverse("admin:resources_condition_change", args=[condition.pk]))
    form = page.context["adminform"].form
    assert "A first seizure" in str(form["red_flags"])
    data = {name: form[name].value() for name in form.fields}
    data = {name: "" if value is None else value for name, value in data.items()}
    data["red_flags"] = "First sign\r\n\r\n  Second sign  \r\n"
    data["aliases"] = "\r\n".join(condition.aliases)
    for formset in page.context["inline_admin_formsets"]:
        management = formset.formset.management_form
        data |= {f"{management.prefix}-{name}": value for name, value in management.initial.items()}
        for inner in formset.formset.initial_forms:
            for field in inner.fields:
                value = inner[field].value()
                data[f"{inner.prefix}-{field}"] = "" if value is None else value
    response = curator.post(reverse("admin:resources_condition_change", args=[condition.pk]), data)
    assert response.status_code == 302, response.context["errors"]
    condition.refresh_from_db()
    assert condition.red_flags == ["First sign", "Second sign"]
    assert condition.slug == "glioma"


def test_status_actions_and_no_publishing_without_a_source(curator: Client) -> None:
    condition = make_condition()
    sourced = make_treatment(condition, name="Sourced", status="draft")
    sourced.sources.add(make_source(), make_source("Another."))
    bare = make_treatment(condition, name="Bare", status="draft")
    url = reverse("admin:resources_treatment_changelist")
    for action, states in [
        ("send_to_review", ("in_review", "in_review")),
        ("publish", ("published", "in_review")),
        ("retire", ("retired", "retired")),
    ]:
        curator.post(url, {"action": action, "_selected_action": [sourced.pk, bare.pk]})
        sourced.refresh_from_db()
        bare.refresh_from_db()
        assert (sourced.status, bare.status) == states


@pytest.mark.usefixtures("knowledge_base")
def test_seeded_rows_are_retired_not_deleted(curator: Client) -> None:
    treatment = Treatment.objects.first()
    assert treatment is not None
    assert curator.post(reverse("admin:resources_treatment_delete", args=[treatment.pk])).status_code == 403


def test_outsiders_are_sent_to_the_login(client: Client) -> None:
    assert client.get(reverse("admin:resources_condition_changelist")).status_code == 302
