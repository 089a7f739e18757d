"""The line of progress that training prints every few seconds."""

import time
from collections import deque

from models.training.checkpoint import TrainingState
from models.training.device import TrainingDevice
from pipeline import messages

_INTERVAL_S = 5.0
_SPEED_LINES = 12  # the speed is a mean over this many lines, one minute: so compiling soon has no part in it


class ProgressLine:
    """Prints images, speed, time left, memory and running losses, at most every five seconds and at the end."""

    def __init__(self, images_seen: int, device: TrainingDevice) -> None:
        """`images_seen` of each domain is where training begins or resumes."""
        self.device = device
        self.printed_at = 0.0
        self.points = deque([(time.monotonic(), images_seen)], maxlen=_SPEED_LINES)

    def update(self, state: TrainingState, done: float) -> None:
        """Print a line if one is due; `done` is the share of the training that is done, 0-1."""
        now = time.monotonic()
        if now - self.printed_at < _INTERVAL_S and done < 1:
            return
        then, seen_then = self.points[0]
        speed, total = (state.images_seen - seen_then) / (now - then), round(state.images_seen / done)
        messages.progress(self._text(state, speed, total), state.images_seen, total)
        self.printed_at = now
        self.points.append((now, state.images_seen))

    def _text(self, state: TrainingState, speed: float, total: int) -> str:
        """`speed` is in images a second, `total` the images of each domain that are expected at the end."""
        left = round((total - state.images_seen) / speed) if speed else 0
        time_left = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        losses = " ".join(f"{name} {value:.3f}" for name, value in state.losses.items())
        return (
            f"{state.images_seen}/{total} images, {speed:.1f}/s, {time_left} left, "
            f"{self.device.memory_gb():.1f} GB; {losses}"
        )
