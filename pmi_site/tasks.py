"""The one way to declare a Celery task in PMI."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from celery import shared_task

# "long" is for what may take many minutes: the small tasks of "default" do not wait for it.
Queue = Literal["default", "inference", "long"]

# Every task declared here with its queue; tests compare it with Celery's own registry.
QUEUES: dict[str, Queue] = {}


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **more: Any) -> dict[str, str]:
    """Celery's router (settings.CELERY_TASK_ROUTES): the queue a task was declared with."""
    return {"queue": QUEUES.get(name, "default")}


def pmi_task(*, queue: Queue = "default", time_limit: int = 300) -> Callable[[Callable[..., Any]], Any]:
    """Declare a task: on a named queue, with a time limit in seconds, acknowledged only after it ended.

    A worker that dies mid-task gives the message back, so a task must be safe to run twice. Arguments must be
    ids (str or int): a message outlives the code that sent it and is no place for patient data. Raises
    TypeError when called with anything else.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def checked(*args: str | int, **kwargs: str | int) -> Any:
            for value in (*args, *kwargs.values()):
                if not isinstance(value, str | int):
                    raise TypeError(
                        f"{function.__name__} takes ids (str or int) only, not {type(value).__name__}."
                    )
            return function(*args, **kwargs)

        task = shared_task(
            time_limit=time_limit,
            soft_time_limit=max(1, time_limit - 15),
            acks_late=True,
            reject_on_worker_lost=True,
            serializer="json",
            ignore_result=True,
        )(checked)
        QUEUES[f"{function.__module__}.{function.__name__}"] = queue
        return task

    return decorate
