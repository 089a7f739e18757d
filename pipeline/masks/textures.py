"""What cloth looks like: a colour, a weave, a print. Pictures (mask.HEIGHT, mask.WIDTH, 3), RGB 0-255."""

import cv2
import numpy as np

from pipeline.masks.surgical import HEIGHT, WIDTH, Picture


def draw_texture(rng: np.random.Generator, photo: Picture | None = None) -> Picture:
    """Plain in half of all draws; else striped, checked, dotted, flowery, dyed, or printed with a piece of `photo`."""
    colour = draw_colour(rng)
    ground = np.full((HEIGHT, WIDTH, 3), colour, np.float32)
    kind = rng.random()
    if kind < 0.5:
        return ground
    if kind < 0.6:
        return _blend(ground, draw_colour(rng), _stripes(rng))
    if kind < 0.68:
        checked = _blend(ground, draw_colour(rng), 0.6 * _stripes(rng))
        return _blend(checked, draw_colour(rng), 0.6 * _stripes(rng))
    if kind < 0.76:
        return _blend(ground, draw_colour(rng), _dots(rng))
    if kind < 0.84:
        return _flowers(rng, ground)
    if kind < 0.92 or photo is None:
        return _blend(_blend(ground, draw_colour(rng), _clouds(rng)), draw_colour(rng), _clouds(rng))
    return _printed(rng, photo)


def white_texture(rng: np.random.Generator) -> Picture:
    return np.full((HEIGHT, WIDTH, 3), rng.uniform(205, 250) + rng.normal(0, 4, 3), np.float32)


def draw_colour(rng: np.random.Generator) -> Picture:
    """Masks are white, black, blue or of any other colour, skin's own among them; RGB 0-255."""
    kind = rng.random()
    if kind < 0.16:
        return np.asarray(rng.uniform(195, 250) + rng.normal(0, 5, 3), np.float32)
    if kind < 0.32:
        return np.asarray(rng.uniform(8, 60) + rng.normal(0, 4, 3), np.float32)
    if kind < 0.40:
        return np.asarray(rng.uniform(70, 190) + rng.normal(0, 5, 3), np.float32)
    if kind < 0.50:  # beige, rose and brown: the colours of skins
        lab = np.array([rng.uniform(35, 88), rng.uniform(4, 20), rng.uniform(6, 26)])
    elif kind < 0.68:  # hospital blue and green
        hue, chroma = rng.uniform(3.0, 4.6), rng.uniform(8, 34)
        lab = np.array([rng.uniform(60, 90), chroma * np.cos(hue), chroma * np.sin(hue)])
    else:
        hue, chroma = rng.uniform(0, 2 * np.pi), rng.uniform(10, 70)
        lab = np.array([rng.uniform(15, 90), chroma * np.cos(hue), chroma * np.sin(hue)])
    rgb = cv2.cvtColor(lab.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb[0, 0], 0, 1) * 255, np.float32)


def noise(rng: np.random.Generator, cells: int, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """Smooth noise of about `cells` bumps down, -1 to 1."""
    across = max(2, round(cells * width / height))
    coarse = rng.uniform(-1, 1, (max(2, cells), across)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _blend(ground: Picture, colour: Picture, amount: Picture) -> Picture:
    return np.asarray(ground + (colour - ground) * amount[..., None], np.float32)


def _stripes(rng: np.random.Generator) -> Picture:
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    phase = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / rng.uniform(10, 70)
    return np.asarray(np.clip(0.5 + rng.uniform(0.6, 4) * (np.sin(phase) + rng.uniform(-0.7, 0.7)), 0, 1), np.float32)


def _dots(rng: np.random.Generator) -> Picture:
    step, size = rng.uniform(14, 48), rng.uniform(0.18, 0.4)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) / step
    x = x + 0.5 * (np.floor(y) % 2)
    away = np.hypot(x - np.floor(x) - 0.5, y - np.floor(y) - 0.5)
    return np.asarray(np.clip((size - away) * step / 2 + 0.5, 0, 1), np.float32)


def _flowers(rng: np.random.Generator, ground: Picture) -> Picture:
    out, colours = ground.copy(), [draw_colour(rng).tolist() for _ in range(3)]
    for _ in range(int(rng.integers(12, 60))):
        middle = rng.uniform((0, 0), (WIDTH, HEIGHT))
        size, petals = rng.uniform(4, 22), int(rng.integers(3, 8))
        colour = colours[int(rng.integers(3))]
        for turn in np.linspace(0, 2 * np.pi, petals, endpoint=False):
            at = middle + size * np.array([np.cos(turn), np.sin(turn)])
            cv2.circle(out, (round(at[0]), round(at[1])), max(1, round(size * 0.6)), colour, -1, cv2.LINE_AA)
        cv2.circle(out, (round(middle[0]), round(middle[1])), max(1, round(size * 0.5)), colours[0], -1, cv2.LINE_AA)
    return out


def _clouds(rng: np.random.Generator) -> Picture:
    field = noise(rng, int(rng.integers(2, 14))) + 0.5 * noise(rng, int(rng.integers(6, 30)))
    return np.asarray(np.clip(0.5 + rng.uniform(0.8, 6) * (field + rng.uniform(-0.4, 0.4)), 0, 1), np.float32)


def _printed(rng: np.random.Generator, photo: Picture) -> Picture:
    height, width = photo.shape[:2]
    share = rng.uniform(0.2, 0.9)
    tall, wide = max(8, round(share * height)), max(8, round(share * width))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    piece = cv2.resize(photo[top : top + tall, left : left + wide], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.6:  # other colours than the photo's, so that no print is known by heart
        piece = piece[..., rng.permutation(3)]
        piece = 255 - piece if rng.random() < 0.3 else piece
    return np.asarray(piece, np.float32)
