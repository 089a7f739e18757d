"""How durations are shown."""


def clock(seconds: float) -> str:
    """A duration as MINUTES:SECONDS."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
