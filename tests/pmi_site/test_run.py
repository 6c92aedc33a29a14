"""`manage.py run`: what it starts, and what does not keep it from starting."""

import io
from typing import get_args

import pytest
from django.core.management import CommandError

from pmi_site.management.commands import run
from pmi_site.tasks import Queue


@pytest.fixture
def children(monkeypatch):
    """Commands by the names of their parts."""

    def build():
        return {child.name: child.command for child in run.Command()._children("127.0.0.1", 8000)}

    monkeypatch.setenv("REMAP_SIGTERM", "")
    for name in ("PMI_WEB_WORKERS", "PMI_WEB_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return build


def after(command, option):
    return command[command.index(option) + 1]


def test_every_queue_has_a_worker(children):
    queues = [after(command, "-Q") for command in children().values() if "-Q" in command]
    assert sorted(queues) == sorted(get_args(Queue))


def test_slow_lines_do_not_use_up_the_web_server(children, monkeypatch):
    server = children()["web server"]
    assert (after(server, "--workers"), after(server, "--blocking-threads")) == ("1", "32")
    assert "--respawn-failed-workers" in server
    monkeypatch.setenv("PMI_WEB_WORKERS", "3")
    monkeypatch.setenv("PMI_WEB_THREADS", "8")
    server = children()["web server"]
    assert (after(server, "--workers"), after(server, "--blocking-threads")) == ("3", "8")


def test_a_broken_model_does_not_keep_the_site_from_starting(monkeypatch):
    def refuse(name, **options):
        raise CommandError("1 bundle(s) cannot be used.")

    monkeypatch.setattr(run, "call_command", refuse)
    out = io.StringIO()
    command = run.Command(stdout=out)
    command._run("register_models", replace_missing=True)
    assert "1 bundle(s) cannot be used. PMI starts all the same." in out.getvalue()
    with pytest.raises(CommandError, match="cannot be used"):
        command._run("load_knowledge_base")
