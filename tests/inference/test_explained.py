"""A model that can say what nobody explains is not put into use."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from inference import checks, explained, services
from inference.models import ModelVersion
from pmi_site.errors import UserError
from resources.models import Condition
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def covered() -> None:
    """Here the rule itself is tested."""


@pytest.fixture
def version() -> ModelVersion:
    labels = [{"name": "glioma", "condition": "glioma"}, {"name": "none", "condition": "no-brain-tumour"}]
    return ModelVersion.objects.create(
        kind="brain_mri", version="9", bundle="x", sha256="e" * 64, metadata={"labels": labels}
    )


@pytest.fixture
def knowledge_base() -> None:
    call_command("load_knowledge_base", stdout=StringIO())


def test_refused_while_the_knowledge_base_is_empty(version: ModelVersion) -> None:
    with pytest.raises(UserError) as caught:
        services.activate(version)
    assert caught.value.code == "uncovered" and "glioma (glioma): Description" in caught.value.message
    version.refresh_from_db()
    assert not version.is_active


@pytest.mark.usefixtures("knowledge_base")
def test_accepted_when_everything_is_explained_and_refused_with_one_hole(version: ModelVersion) -> None:
    services.activate(version)
    assert explained.labels_in_use() == explained.labels_of(version)
    Condition.objects.filter(slug="no-brain-tumour").update(status="retired")
    with pytest.raises(UserError, match="none \\(no-brain-tumour\\)"):
        services.activate(version)


def test_the_admin_says_why(version: ModelVersion) -> None:
    client = Client()
    client.force_login(factories.AdminFactory.create(), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(reverse("admin:inference_model_promote", args=[version.pk])).content.decode()
    assert "It cannot be promoted" in page and "glioma (glioma): Description" in page


def test_the_system_check_names_the_holes(version: ModelVersion) -> None:
    ModelVersion.objects.update(is_active=True)
    found = [m for m in checks.check_active_bundles(None, databases=["default"]) if m.id == "inference.W003"]
    assert len(found) == 1 and "glioma (glioma)" in found[0].msg


def test_the_gate_needs_no_explanation() -> None:
    gate = ModelVersion.objects.create(
        kind="gate", version="9", bundle="x", sha256="d" * 64, metadata={"labels": [{"name": "other"}]}
    )
    services.activate(gate)
    assert gate.is_active
