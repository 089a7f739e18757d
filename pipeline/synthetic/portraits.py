"""The two public-domain portraits, framed as FFHQ frames its faces and cut out of their backgrounds."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.faces.landmarker import Detect, open_landmarker
from pipeline.faces.regions import polygon_mask

Picture = NDArray[np.float32]
Points = NDArray[np.float64]

MARGIN = 0.35
"""How far a portrait's canvas reaches beyond the face's frame, as a share of the frame, on each side."""

_SKIN_TONE = np.array([16.0, 20.0])  # CIELAB a, b
_EYES = (468, 473)  # the pupils, as the picture shows them: left, right
_MOUTH = (61, 291)
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a portrait comes from, and what must be known to cut the person out."""

    name: str
    author: str
    licence: str
    url: str
    outline: tuple[tuple[int, int], ...]  # the person, drawn by hand, px of the original picture
    head: int  # the first points of the outline that are head; the rest is neck and clothes


@dataclass(frozen=True)
class Portrait:
    """A person on a canvas of (1 + 2 MARGIN) image_px, whose middle image_px are the FFHQ frame."""

    source: Source
    person: Picture  # (S, S, 4) CIELAB, continued beyond the outline, and 0-1: how much of a pixel is the person
    parts: Picture  # (S, S, 3) 0-1: skin, hair or hat, clothes
    points: Points  # (478, 2) landmarks, canvas px
    head: Points  # (N, 2) the head's outline, canvas px


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
    """Both portraits, framed for images of `image_px`.

    Raises FacemaskError where scikit-image or matplotlib, which carry them, is missing.
    """
    pictures = _read_pictures()
    with open_landmarker(1) as detect:
        return tuple(
            _prepare(source, picture, _landmarks(detect, picture), image_px)
            for source, picture in zip((ASTRONAUT, HOPPER), pictures, strict=True)
        )


def _landmarks(detect: Detect, picture: NDArray[np.uint8]) -> Points:
    """The one face's landmarks, px."""
    return detect(picture)[0].points.astype(np.float64) * picture.shape[1::-1]


def _read_pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        # Imported here: only making the sample needs them, and they are an extra.
        import matplotlib
        import skimage.data

        hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        pixels = cv2.imdecode(np.frombuffer(hopper.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        astronaut = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
        return astronaut, np.asarray(pixels, np.uint8)[..., ::-1]
    except (ImportError, OSError) as error:
        raise FacemaskError(f"the sample's portraits are missing ({error}): run pip install -e '.[sample]'") from error


def ffhq_frame(points: Points) -> tuple[Points, float]:
    """Centre (2,) and side of the upright square that FFHQ would cut, in the unit of points (478, 2).

    Karras et al. 2019, section A: side from the eyes' distance and the way from eyes to mouth. Pose is added
    later, so unlike FFHQ's the frame is not turned with the eyes.
    """
    eyes, mouth = points[list(_EYES)], points[list(_MOUTH)]
    eye_to_eye = eyes[1] - eyes[0]
    eye_to_mouth = mouth.mean(axis=0) - eyes.mean(axis=0)
    half = max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth))
    return eyes.mean(axis=0) + 0.1 * eye_to_mouth, 2 * float(half)


def _prepare(source: Source, picture: NDArray[np.uint8], found: Points, image_px: int) -> Portrait:
    centre, side = ffhq_frame(found)
    size = round(image_px * (1 + 2 * MARGIN))
    zoom = image_px / side
    shift = size / 2 - zoom * centre - 0.5

    def to_canvas(points: Points) -> Points:
        return np.asarray(points * zoom + shift)

    points = to_canvas(found)
    outline = to_canvas(np.array(source.outline, dtype=np.float64))
    colour = _framed(picture, zoom, shift, size)
    alpha = _cut_out(colour, outline, zoom)
    skin = _skin(colour, points, alpha)
    hair, clothes = _hair_and_clothes(points, alpha, skin)
    lab = cv2.cvtColor(_continued(colour, alpha) / 255, cv2.COLOR_RGB2LAB)
    # The two prints differ in their reds: bring the skins half-way to a common tone, so that one change suits both.
    tint = _SKIN_TONE - np.median(lab[skin > 0.9][:, 1:], axis=0)
    lab[..., 1:] += 0.5 * skin[..., None] * tint.astype(np.float32)
    person = np.dstack([lab, alpha])
    return Portrait(source, person, np.dstack([skin, hair, clothes]), points, outline[: source.head])


def _framed(picture: NDArray[np.uint8], zoom: float, shift: Points, size: int) -> Picture:
    """Bring the picture onto the canvas; where that leaves the picture, its reflection fills in."""
    if zoom < 1:  # an area filter first, or a small canvas would alias
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / zoom), np.uint8)
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    flags, border = cv2.INTER_LANCZOS4, cv2.BORDER_REFLECT_101
    framed = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=border).astype(np.float32)
    if zoom > 1:  # enlarged, so a little crispness is given back
        framed += 0.5 * (framed - cv2.GaussianBlur(framed, (0, 0), 0.8 * zoom))
    return np.clip(framed, 0, 255)


def _cut_out(colour: Picture, outline: Points, zoom: float) -> Picture:
    """The person's alpha: GrabCut in a band about the hand-drawn outline, then a guided filter for the hair."""
    size = len(colour)
    small = 300  # px; GrabCut's time grows with the pixels, its edge is refined below anyway
    scale = small / size
    drawn = np.zeros((small, small), np.uint8)
    cv2.fillPoly(drawn, [np.rint(outline * scale).astype(np.int32)], 1)
    band = max(2, round(4 * zoom * scale))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    trimap = np.where(drawn > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[cv2.erode(drawn, kernel) > 0] = cv2.GC_FGD
    trimap[cv2.dilate(drawn, kernel) == 0] = cv2.GC_BGD
    pixels = np.asarray(cv2.resize(colour, (small, small), interpolation=cv2.INTER_AREA), np.uint8)
    cv2.setRNGSeed(0)  # GrabCut's clustering draws from OpenCV's generator
    cv2.grabCut(pixels, trimap, (0, 0, small, small), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    person = np.where(np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)), 255, 0).astype(np.uint8)
    smooth = cv2.resize(cv2.medianBlur(person, 5), (size, size), interpolation=cv2.INTER_LINEAR)
    rough = np.asarray(smooth / 255.0, np.float32)
    grey = np.asarray(cv2.cvtColor(colour / 255, cv2.COLOR_RGB2GRAY), np.float32)
    fine = _guided(grey, rough, radius=max(2, round(size / 110)), smooth=2e-3)
    # The background's colours fringe the edge: tighten it by a little.
    return np.asarray(np.clip((fine - 0.22) / 0.7, 0, 1), np.float32)


def _guided(guide: Picture, target: Picture, radius: int, smooth: float) -> Picture:
    """Guided filter (He et al. 2010): `target` smoothed, with the edges of `guide`."""

    def mean(values: Picture) -> Picture:
        return np.asarray(cv2.blur(values, (2 * radius + 1, 2 * radius + 1)))

    guide_mean, target_mean = mean(guide), mean(target)
    slope = (mean(guide * target) - guide_mean * target_mean) / (mean(guide * guide) - guide_mean**2 + smooth)
    return mean(slope) * guide + mean(target_mean - slope * guide_mean)


def _continued(colour: Picture, alpha: Picture) -> Picture:
    """The person's own colours wherever the background shows through, so that no halo of it is left."""
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


def _oval(points: Points, size: int, grow: float) -> Picture:
    """The face's oval about its middle, grown by a factor, soft: (size, size) 0-1."""
    middle = points[list(OVAL)].mean(axis=0)
    shares = ((middle + grow * (points - middle) + 0.5) / size).astype(np.float32)
    drawn = polygon_mask(shares, OVAL, size, size).astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size / 90))


def _neck(points: Points, size: int) -> Picture:
    """Where a neck may be: a box under the mouth, soft, (size, size) 0-1."""
    wide = 0.36 * abs(points[454, 0] - points[234, 0])
    tall = 0.65 * (points[152, 1] - points[10, 1])
    corners = (points[152, 0] - wide, points[13, 1], points[152, 0] + wide, points[152, 1] + tall)
    left, top, right, bottom = (int(np.clip(round(corner), 0, size)) for corner in corners)
    drawn = np.zeros((size, size), np.float32)
    drawn[top:bottom, left:right] = 1
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size / 90), np.float32)


def _skin(colour: Picture, points: Points, alpha: Picture) -> Picture:
    """Skin by its likeness to the cheeks' colour, sought in and about the face."""
    lab = cv2.cvtColor(colour / 255, cv2.COLOR_RGB2LAB)
    size = len(colour)
    inner = _oval(points, size, 0.8) > 0.9
    middle, spread = np.median(lab[inner], axis=0), np.array([26.0, 11.0, 11.0])  # L, a, b
    likeness = np.exp(-0.5 * np.sum(((lab - middle) / spread) ** 2, axis=2))
    where = np.maximum(_oval(points, size, 1.45), _neck(points, size))
    skin = np.clip(likeness * 2.5, 0, 1).astype(np.float32) * where * alpha
    return np.asarray(cv2.GaussianBlur(skin, (0, 0), size / 250))


def _hair_and_clothes(points: Points, alpha: Picture, skin: Picture) -> tuple[Picture, Picture]:
    size = len(alpha)
    face = _oval(points, size, 1.0)
    rows = np.arange(size, dtype=np.float32)[:, None]
    mouth, chin = points[13, 1], points[152, 1]
    below = np.clip((rows - mouth) / (0.6 * (chin - mouth)), 0, 1)
    rest = alpha * (1 - skin) * (1 - face)
    return rest * (1 - below), rest * below
