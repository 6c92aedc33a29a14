"""The exceptions whose text may be shown to the person using PMI, and how the API says an error."""

from django.http import HttpRequest, JsonResponse


class UserError(Exception):
    """Something the user can understand and act on.

    `code` is a stable word for programs, `message` plain words for people. Neither may carry an identifier, a
    file path or a technical detail: pages and API answers show `message` as it is. `status` is what the API
    answers, `wait` the seconds after which trying again makes sense, where that is known.
    """

    status = 400
    wait: int | None = None

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(message)


class TooManyTries(UserError):
    """The person has to wait before they try again; pages and the API answer 429."""

    status = 429

    def __init__(self, code: str, message: str, wait: int | None = None) -> None:
        super().__init__(code, message)
        self.wait = wait


class TooLarge(UserError):
    """What was sent is over a limit; pages and the API answer 413."""

    status = 413


class LengthRequired(UserError):
    """What was sent does not say how long it is; pages and the API answer 411."""

    status = 411


def is_api(request: HttpRequest) -> bool:
    """Whether a program asks: it reads JSON, not pages, also where no view of the API answers."""
    return request.path_info.startswith("/api/")


def error_answer(detail: str, code: str, status: int) -> JsonResponse:
    """An error in the API's one form, for what answers without REST framework."""
    return JsonResponse({"detail": detail, "code": code}, status=status)
