"""The exceptions whose text may be shown to the person using PMI."""


class UserError(Exception):
    """Something the user can understand and act on.

    `code` is a stable word for programs, `message` plain words for people. Neither may carry an identifier, a
    file path or a technical detail: pages and API answers show `message` as it is. `status` is what the API
    answers.
    """

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(message)


class TooManyTries(UserError):
    """The person has to wait before they try again; pages and the API answer 429."""

    status = 429


class TooLarge(UserError):
    """What was sent is over a limit; pages and the API answer 413."""

    status = 413


class LengthRequired(UserError):
    """What was sent does not say how long it is; pages and the API answer 411."""

    status = 411
