"""The version of this code, also where it lies in a project and another one is installed. pyproject.toml reads it."""

VERSION = "0.1.0"


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to compare it with another one."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
