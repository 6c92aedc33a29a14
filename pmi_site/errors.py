"""The exceptions whose text may be shown to the person using PMI."""


class UserError(Exception):
    """Something the user can understand and act on.

    `code` is a stable word for programs, `message` plain words for people. Neither may carry an identifier, a
    file path or a technical detail: pages and API answers show `message` as it is.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(message)


class TooManyTries(UserError):
    """The person has to wait before they try again; pages and the API answer 429."""
