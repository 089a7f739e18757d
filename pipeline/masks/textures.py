"""Fabric: random colours, patterns and prints. Images are (HEIGHT, WIDTH, 3), RGB 0-255."""

import cv2
import numpy as np

from pipeline.masks.records import HEIGHT, WIDTH, FloatImage, Points


def draw_texture(rng: np.random.Generator, photo: FloatImage | None = None) -> FloatImage:
    """Draw a fabric: one colour in half of the draws, else a pattern, or a print of a part of `photo` (H, W, 3)."""
    ground = np.full((HEIGHT, WIDTH, 3), draw_colour(rng), np.float32)
    kind = rng.random()
    if kind < 0.5:
        return ground
    if kind < 0.6:
        return _mix(ground, draw_colour(rng), _stripes(rng))
    if kind < 0.68:
        striped = _mix(ground, draw_colour(rng), 0.6 * _stripes(rng))
        return _mix(striped, draw_colour(rng), 0.6 * _stripes(rng))
    if kind < 0.76:
        return _mix(ground, draw_colour(rng), _dots(rng))
    if kind < 0.84:
        return _flowers(rng, ground)
    if kind < 0.92 or photo is None:
        dyed = _mix(ground, draw_colour(rng), _clouds(rng))
        return _mix(dyed, draw_colour(rng), _clouds(rng))
    return _photo_print(rng, photo)


def draw_colour(rng: np.random.Generator) -> FloatImage:
    """Draw a colour, (3,) RGB 0-255: white, black, grey, skin tones, hospital blue and green, or any other."""
    kind = rng.random()
    if kind < 0.16:
        return np.asarray(rng.uniform(195, 250) + rng.normal(0, 5, 3), np.float32)
    if kind < 0.32:
        return np.asarray(rng.uniform(8, 60) + rng.normal(0, 4, 3), np.float32)
    if kind < 0.40:
        return np.asarray(rng.uniform(70, 190) + rng.normal(0, 5, 3), np.float32)
    if kind < 0.50:  # skin tones
        lab = np.array([rng.uniform(35, 88), rng.uniform(4, 20), rng.uniform(6, 26)])
    elif kind < 0.68:  # hospital blue and green
        hue, chroma = rng.uniform(3.0, 4.6), rng.uniform(8, 34)
        lab = np.array([rng.uniform(60, 90), chroma * np.cos(hue), chroma * np.sin(hue)])
    else:
        hue, chroma = rng.uniform(0, 2 * np.pi), rng.uniform(10, 70)
        lab = np.array([rng.uniform(15, 90), chroma * np.cos(hue), chroma * np.sin(hue)])
    rgb = cv2.cvtColor(lab.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb[0, 0], 0, 1) * 255, np.float32)


def noise(rng: np.random.Generator, cells: int, height: int = HEIGHT, width: int = WIDTH) -> FloatImage:
    """Draw smooth noise (height, width) with about `cells` bumps from top to bottom, -1 to 1."""
    columns = max(2, round(cells * width / height))
    coarse = rng.uniform(-1, 1, (max(2, cells), columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _pixels() -> tuple[FloatImage, FloatImage]:
    """Down and across, each (HEIGHT, WIDTH), in px."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return y, x


def _mix(ground: FloatImage, colour: FloatImage, amount: FloatImage) -> FloatImage:
    return np.asarray(ground + (colour - ground) * amount[..., None], np.float32)


def _stripes(rng: np.random.Generator) -> FloatImage:
    """Amounts (H, W), 0-1, of stripes across, down or at any angle."""
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    y, x = _pixels()
    phase = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / rng.uniform(10, 70)
    return np.asarray(np.clip(0.5 + rng.uniform(0.6, 4) * (np.sin(phase) + rng.uniform(-0.7, 0.7)), 0, 1), np.float32)


def _dots(rng: np.random.Generator) -> FloatImage:
    """Amounts (H, W), 0-1, of round dots in rows."""
    step, radius = rng.uniform(14, 48), rng.uniform(0.18, 0.4)  # px, share of the step
    y, x = (axis / step for axis in _pixels())
    x = x + 0.5 * (np.floor(y) % 2)
    distance = np.hypot(x - np.floor(x) - 0.5, y - np.floor(y) - 0.5)
    return np.asarray(np.clip((radius - distance) * step / 2 + 0.5, 0, 1), np.float32)


def _flowers(rng: np.random.Generator, ground: FloatImage) -> FloatImage:
    out, colours = ground.copy(), [draw_colour(rng).tolist() for _ in range(3)]

    def draw_disc(centre: Points, radius: float, colour: list[float]) -> None:
        cv2.circle(out, (round(centre[0]), round(centre[1])), max(1, round(radius)), colour, -1, cv2.LINE_AA)

    for _ in range(int(rng.integers(12, 60))):
        centre = rng.uniform((0, 0), (WIDTH, HEIGHT))
        radius, petals = rng.uniform(4, 22), int(rng.integers(3, 8))
        colour = colours[int(rng.integers(3))]
        for angle in np.linspace(0, 2 * np.pi, petals, endpoint=False):
            draw_disc(centre + radius * np.array([np.cos(angle), np.sin(angle)]), radius * 0.6, colour)
        draw_disc(centre, radius * 0.5, colours[0])
    return out


def _clouds(rng: np.random.Generator) -> FloatImage:
    """Amounts (H, W), 0-1, of dye in clouds."""
    field = noise(rng, int(rng.integers(2, 14))) + 0.5 * noise(rng, int(rng.integers(6, 30)))
    return np.asarray(np.clip(0.5 + rng.uniform(0.8, 6) * (field + rng.uniform(-0.4, 0.4)), 0, 1), np.float32)


def _photo_print(rng: np.random.Generator, photo: FloatImage) -> FloatImage:
    """A random part of the photo, often in other colours than the photo's, so that no print can be memorized."""
    height, width = photo.shape[:2]
    share = rng.uniform(0.2, 0.9)
    part_height, part_width = max(8, round(share * height)), max(8, round(share * width))
    top, left = int(rng.integers(height - part_height + 1)), int(rng.integers(width - part_width + 1))
    part = photo[top : top + part_height, left : left + part_width]
    printed = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.6:
        printed = printed[..., rng.permutation(3)]
        printed = 255 - printed if rng.random() < 0.3 else printed
    return np.asarray(printed, np.float32)
