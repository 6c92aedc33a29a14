"""What the admin shows of the libraries underneath."""

import pytest
from django.urls import NoReverseMatch, reverse
from django_celery_results.models import TaskResult

pytestmark = pytest.mark.django_db
LIST = "admin:django_celery_results_taskresult_changelist"


def test_results_of_tasks_are_read_and_never_written(as_user, admin_user):
    result = TaskResult.objects.create(task_id="1", status="FAILURE", traceback="why it failed")
    client = as_user(admin_user)
    page = "admin:django_celery_results_taskresult_{}"
    assert client.get(reverse(LIST)).status_code == 200
    assert "why it failed" in client.get(reverse(page.format("change"), args=[result.pk])).text
    assert client.get(reverse(page.format("add"))).status_code == 403
    for verb in ("delete", "change"):
        address = reverse(page.format(verb), args=[result.pk])
        assert client.post(address, {"status": "SUCCESS"}).status_code == 403
    with pytest.raises(NoReverseMatch):
        reverse("admin:django_celery_results_groupresult_changelist")


def test_strangers_and_others_do_not_see_them(client, as_user, patient, doctor):
    assert client.get(reverse(LIST)).status_code == 302
    for user in (patient, doctor):
        assert as_user(user).get(reverse(LIST)).status_code == 302


def test_each_part_of_the_index_has_its_own_name(as_user, admin_user):
    names = [part["name"] for part in as_user(admin_user).get(reverse("admin:index")).context["app_list"]]
    assert sorted(names) == sorted(set(names))
    assert "E-mail addresses" in names
