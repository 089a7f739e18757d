"""The two public-domain portraits, cropped to FFHQ's frame and cut out of their backgrounds."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import ffhq_frame
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.regions import FACE_OVAL, polygon_mask
from pipeline.masks.fit import SIDES
from pipeline.masks.records import ByteImage, FloatImage, Points

MARGIN = 0.35
"""By how much a portrait's canvas is larger than the face's frame on each side, as a share of the frame."""

_SKIN_TONE = np.array([16.0, 20.0])  # CIELAB a, b
_FOREHEAD, _LIPS, _CHIN = 10, 13, 152  # landmarks


@dataclass(frozen=True)
class Source:
    """The origin of a portrait, and the outline of the person in it."""

    name: str
    author: str
    licence: str
    url: str
    outline: tuple[tuple[int, int], ...]  # of the person, drawn by hand, px of the original picture
    head: int  # number of points of the outline that belong to the head, first; the others are neck and clothes


@dataclass(frozen=True)
class Portrait:
    """A person on a canvas of (1 + 2 MARGIN) image_px, of which the middle image_px are FFHQ's frame."""

    source: Source
    person: FloatImage  # (S, S, 4): CIELAB, extended beyond the outline, and alpha 0-1
    parts: FloatImage  # (S, S, 3) 0-1: skin, hair or hat, clothes
    points: Points  # (478, 2) landmarks, canvas px
    head: Points  # (N, 2) outline of the head, canvas px


ASTRONAUT = Source(
    name="astronaut",
    author="NASA (portrait of Eileen Collins)",
    licence="Public domain",
    url="https://flic.kr/p/r9qvLn",
    outline=(
        (265, 139), (276, 134), (285, 124), (293, 112), (300, 100), (301, 85), (297, 70), (294, 55), (287, 42),
        (277, 33), (262, 25), (245, 18), (230, 15), (215, 18), (200, 22), (187, 33), (180, 42), (165, 50),
        (155, 62), (152, 75), (153, 92), (158, 108), (168, 118), (172, 127), (181, 132),
        (183, 140), (185, 148), (160, 150), (140, 158), (125, 172), (122, 185), (113, 186), (112, 206),
        (100, 214), (80, 228), (80, 300), (390, 300), (345, 270), (340, 262), (325, 246), (310, 238), (304, 230),
        (297, 212), (285, 194), (270, 181), (256, 175), (255, 168), (260, 155),
    ),
    head=25,
)  # fmt: skip
HOPPER = Source(
    name="grace_hopper",
    author="US Navy (portrait of Grace Hopper)",
    licence="Public domain",
    url="https://commons.wikimedia.org/wiki/File:Commodore_Grace_M._Hopper,_USN_(covered).jpg",
    outline=(
        (345, 305), (358, 285), (362, 260), (367, 240), (375, 208), (375, 190), (369, 180), (371, 130),
        (370, 98), (362, 87), (352, 86), (346, 68), (330, 52), (300, 40), (285, 28), (258, 23), (235, 26),
        (220, 32), (215, 42), (195, 52), (180, 68), (174, 82), (160, 95), (147, 115), (147, 142), (158, 150),
        (160, 170), (153, 195), (153, 220), (160, 255), (162, 275), (175, 290), (200, 300),
        (203, 312), (185, 335), (160, 345), (90, 365), (55, 383), (40, 400), (30, 440), (25, 600), (512, 600),
        (512, 445), (505, 425), (495, 395), (480, 382), (430, 365), (370, 342), (345, 328), (330, 312),
        (333, 305),
    ),
    head=33,
)  # fmt: skip


@lru_cache(maxsize=2)
def load_portraits(image_px: int) -> tuple[Portrait, ...]:
    """Return both portraits, prepared for images of `image_px`.

    Raises FacemaskError where scikit-image or matplotlib, which contain the pictures, is missing.
    """
    pictures = zip((ASTRONAUT, HOPPER), _read_pictures(), strict=True)
    return tuple(_prepare(source, picture, image_px) for source, picture in pictures)


def _read_pictures() -> tuple[ByteImage, ByteImage]:
    try:
        # Imported here: only the sample needs them, and they are in an optional extra.
        import matplotlib
        import skimage.data

        hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        pixels = cv2.imdecode(np.frombuffer(hopper.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        astronaut = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
        return astronaut, np.asarray(pixels, np.uint8)[..., ::-1]
    except (ImportError, OSError) as error:
        raise FacemaskError(f"the sample's portraits are missing ({error}): run pip install -e '.[sample]'") from error


def _prepare(source: Source, picture: ByteImage, image_px: int) -> Portrait:
    landmarks = get_landmarker(1)(picture)[0].points.astype(np.float64) * picture.shape[1::-1]
    centre, side = ffhq_frame(landmarks)
    size = round(image_px * (1 + 2 * MARGIN))
    zoom = image_px / side
    shift = size / 2 - zoom * centre - 0.5

    def to_canvas(points: Points) -> Points:
        return np.asarray(points * zoom + shift)

    points = to_canvas(landmarks)
    outline = to_canvas(np.array(source.outline, dtype=np.float64))
    colour = _crop_to_canvas(picture, zoom, shift, size)
    alpha = _person_alpha(colour, outline, zoom)
    skin = _skin(colour, points, alpha)
    hair, clothes = _hair_and_clothes(points, alpha, skin)
    lab = cv2.cvtColor(_extend_colours(colour, alpha) / 255, cv2.COLOR_RGB2LAB)
    # The two pictures differ in their reds: move both skins halfway to a common tone, so that one change suits both.
    tint = _SKIN_TONE - np.median(lab[skin > 0.9][:, 1:], axis=0)
    lab[..., 1:] += 0.5 * skin[..., None] * tint.astype(np.float32)
    return Portrait(source, np.dstack([lab, alpha]), np.dstack([skin, hair, clothes]), points, outline[: source.head])


def _crop_to_canvas(picture: ByteImage, zoom: float, shift: Points, size: int) -> FloatImage:
    """Scale and shift the picture onto the canvas (size, size, 3); outside the picture it is mirrored."""
    if zoom < 1:  # filter first, or a small canvas would alias
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / zoom), np.uint8)
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    flags, border = cv2.INTER_LANCZOS4, cv2.BORDER_REFLECT_101
    canvas = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=border).astype(np.float32)
    if zoom > 1:  # sharpen what was enlarged
        canvas += 0.5 * (canvas - cv2.GaussianBlur(canvas, (0, 0), 0.8 * zoom))
    return np.clip(canvas, 0, 255)


def _person_alpha(colour: FloatImage, outline: Points, zoom: float) -> FloatImage:
    """The person's alpha, (S, S) 0-1: GrabCut in a band around the outline, then a guided filter for the hair."""
    size = len(colour)
    small = 300  # px; the time of GrabCut grows with the pixels, and its edge is refined below
    scale = small / size
    drawn = np.zeros((small, small), np.uint8)
    cv2.fillPoly(drawn, [np.rint(outline * scale).astype(np.int32)], 1)
    band = max(2, round(4 * zoom * scale))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    trimap = np.where(drawn > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[cv2.erode(drawn, kernel) > 0] = cv2.GC_FGD
    trimap[cv2.dilate(drawn, kernel) == 0] = cv2.GC_BGD
    pixels = np.asarray(cv2.resize(colour, (small, small), interpolation=cv2.INTER_AREA), np.uint8)
    cv2.setRNGSeed(0)  # GrabCut's clustering draws from OpenCV's random generator
    cv2.grabCut(pixels, trimap, (0, 0, small, small), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    person = np.where(np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)), 255, 0).astype(np.uint8)
    smooth = cv2.resize(cv2.medianBlur(person, 5), (size, size), interpolation=cv2.INTER_LINEAR)
    rough = np.asarray(smooth / 255.0, np.float32)
    grey = np.asarray(cv2.cvtColor(colour / 255, cv2.COLOR_RGB2GRAY), np.float32)
    fine = _guided_filter(grey, rough, radius=max(2, round(size / 110)), epsilon=2e-3)
    # The edge still shows the background's colours: shrink the alpha a little.
    return np.asarray(np.clip((fine - 0.22) / 0.7, 0, 1), np.float32)


def _guided_filter(guide: FloatImage, target: FloatImage, radius: int, epsilon: float) -> FloatImage:
    """Smooth `target` but keep the edges of `guide` (He et al. 2010)."""

    def mean(values: FloatImage) -> FloatImage:
        return np.asarray(cv2.blur(values, (2 * radius + 1, 2 * radius + 1)))

    guide_mean, target_mean = mean(guide), mean(target)
    slope = (mean(guide * target) - guide_mean * target_mean) / (mean(guide * guide) - guide_mean**2 + epsilon)
    return mean(slope) * guide + mean(target_mean - slope * guide_mean)


def _extend_colours(colour: FloatImage, alpha: FloatImage) -> FloatImage:
    """Replace colours in which the background is visible by the nearest colours of the person, to leave no halo."""
    sure = np.asarray(cv2.erode((alpha > 0.97).astype(np.float32), np.ones((3, 3))))
    out = colour * sure[..., None]
    filled = sure.copy()
    for sigma in (1.5, 4.0, 12.0, 40.0):
        near = cv2.GaussianBlur(sure, (0, 0), sigma)
        spread = cv2.GaussianBlur(colour * sure[..., None], (0, 0), sigma) / np.maximum(near, 1e-4)[..., None]
        here = (near > 0.02) & (filled < 1)
        out[here], filled[here] = spread[here], 1
    out[filled < 1] = colour[filled < 1]
    return out


def _oval(points: Points, size: int, scale: float) -> FloatImage:
    """The oval of the face, scaled about its centre, with soft edges: (size, size) 0-1."""
    centre = points[list(FACE_OVAL)].mean(axis=0)
    shares = ((centre + scale * (points - centre) + 0.5) / size).astype(np.float32)
    drawn = polygon_mask(shares, FACE_OVAL, size, size).astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size / 90))


def _neck(points: Points, size: int) -> FloatImage:
    """Where the neck may be, (size, size) 0-1: a box below the mouth, with soft edges."""
    half_width = 0.36 * abs(points[SIDES[1], 0] - points[SIDES[0], 0])
    below = 0.65 * (points[_CHIN, 1] - points[_FOREHEAD, 1])
    x, y = points[_CHIN]
    corners = (x - half_width, points[_LIPS, 1], x + half_width, y + below)
    left, top, right, bottom = (int(np.clip(round(corner), 0, size)) for corner in corners)
    drawn = np.zeros((size, size), np.float32)
    drawn[top:bottom, left:right] = 1
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size / 90), np.float32)


def _skin(colour: FloatImage, points: Points, alpha: FloatImage) -> FloatImage:
    """Skin, (S, S) 0-1: colours similar to the face's median, in and near the face."""
    lab = cv2.cvtColor(colour / 255, cv2.COLOR_RGB2LAB)
    size = len(colour)
    inner = _oval(points, size, 0.8) > 0.9
    median, spread = np.median(lab[inner], axis=0), np.array([26.0, 11.0, 11.0])  # L, a, b
    similarity = np.exp(-0.5 * np.sum(((lab - median) / spread) ** 2, axis=2))
    where = np.maximum(_oval(points, size, 1.45), _neck(points, size))
    skin = np.clip(similarity * 2.5, 0, 1).astype(np.float32) * where * alpha
    return np.asarray(cv2.GaussianBlur(skin, (0, 0), size / 250))


def _hair_and_clothes(points: Points, alpha: FloatImage, skin: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Divide the rest of the person at the mouth, gradually: hair or hat above, clothes below; each (S, S) 0-1."""
    size = len(alpha)
    face = _oval(points, size, 1.0)
    rows = np.arange(size, dtype=np.float32)[:, None]
    mouth, chin = points[_LIPS, 1], points[_CHIN, 1]
    below = np.clip((rows - mouth) / (0.6 * (chin - mouth)), 0, 1)
    rest = alpha * (1 - skin) * (1 - face)
    return rest * (1 - below), rest * below
