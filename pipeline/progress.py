"""Progress messages: a line every few seconds and one at the end, for terminals, logs and flows."""

import time

from pipeline import messages

_EVERY_S = 2.0  # between two lines


class Progress:
    """Counts the finished units of `total`; prints `NAME: DONE of TOTAL UNITs, RATE/s, N s left`."""

    def __init__(self, name: str, total: int, unit: str = "image") -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self.started = time.monotonic()
        self.printed: float | None = None

    def add(self, count: int) -> None:
        """Count `count` more units; print a line if the last one is _EVERY_S seconds old."""
        self.done += count
        now = time.monotonic()
        if self.printed is None and self.done < self.total:
            self.printed = now  # not yet: until the workers have started the rate is too low
            return
        if self.done < self.total and now - (self.printed or now) < _EVERY_S:
            return
        self.printed = now
        rate = self.done / max(now - self.started, 1e-3)
        left = "" if self.done >= self.total else f", {(self.total - self.done) / rate:.0f} s left"
        text = f"{self.name}: {self.done:,} of {self.total:,} {self.unit}s, {rate:.1f}/s{left}"
        messages.progress(text, self.done, self.total)
