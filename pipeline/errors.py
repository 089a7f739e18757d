"""The error that a user can act on, and exceptions in one line."""


class FacemaskError(Exception):
    """An error that the user can act on. Its text is one line: what is wrong, where, and what to do next."""


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__
