"""The error that a user can act on, and exceptions in one line."""

import difflib
from collections.abc import Iterable


class FacemaskError(Exception):
    """An error that the user can act on. Its text is one line: what is wrong, where, and what to do next."""


def choose_from(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the known one that was probably meant, then all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, 1)
    meant = f"did you mean '{close[0]}'? " if close else ""
    return f"{meant}it has {', '.join(names) or 'none yet'}"


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__
