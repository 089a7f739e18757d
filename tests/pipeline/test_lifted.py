"""A mask lifted from a photo: its fabric and outline without the skin and the light, and what is drawn instead."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline import params
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.faces.landmarker import get_landmarker
from pipeline.masks.compositing import compose
from pipeline.masks.lifted import MaskReference, draw_reference, lift_mask
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.worn import draw_worn
from tests.conftest import ROOT, inside

BLUE = (31, 111, 235)


@pytest.fixture(scope="module")
def faces(portraits):
    """Three bare faces."""
    pictures = [np.asarray(portrait) for portrait in portraits[:3]]
    return [UnmaskedFace(picture, get_landmarker(1)(picture)[0].points) for picture in pictures]


def worn(face, fabric, kind="kn95"):
    """The face with a mask, in whose picture the landmarks are looked for again."""
    picture = compose(face.image, draw_worn(face, np.random.default_rng(1), kind, fabric))
    return UnmaskedFace(picture, get_landmarker(1)(picture)[0].points)


def fabric_of(lifted):
    """The colours (N, 3) within the outline."""
    drawing = lifted.design.drawing
    return drawing[drawing[..., 3] > 0.9][:, :3]


def test_a_lifted_mask_is_of_the_masks_colour_up_to_its_edges(faces):
    for face in faces:
        colours = fabric_of(lift_mask(worn(face, BLUE)))
        share_of_blue = colours[:, 2] / colours.sum(axis=1)
        assert np.median(share_of_blue) > 0.5
        assert (share_of_blue > 0.42).mean() > 0.99  # of skin: below 0.33


def test_a_print_is_lifted_the_right_way_up(faces):
    texture = np.zeros((300, 400, 3), np.uint8)
    texture[:150], texture[150:] = (0, 170, 0), (0, 0, 200)
    drawing = lift_mask(worn(faces[0], texture, "cloth")).design.drawing
    height, width = drawing.shape[:2]
    above, below = (drawing[round(share * height), width // 2, :3] for share in (0.25, 0.8))
    assert above[1] > 2 * above[2] and below[2] > 2 * below[1]


def test_light_from_a_side_is_not_lifted(faces):
    masked = worn(faces[1], (200, 200, 200))
    light = np.linspace(0.5, 1.2, masked.image.shape[1])[None, :, None]
    lit = replace(masked, image=np.clip(masked.image * light, 0, 255).astype(np.uint8))
    drawing = lift_mask(lit).design.drawing
    width = drawing.shape[1]
    left, right = (drawing[100:180, round(share * width) :][:, :20, 1].mean() for share in (0.2, 0.75))
    assert right / left == pytest.approx(1, abs=0.12)


def test_a_bare_face_has_no_mask_to_lift(faces):
    assert lift_mask(faces[0]) is None


def test_curation_accepts_a_lifted_mask(faces):
    with inside(ROOT):
        limits, settings = params.load("curate", CurateParams), params.load("measure", MeasureParams)
    lifted = lift_mask(worn(faces[0], BLUE))
    reference = MaskReference(lifted, BLUE, "0" * 64)
    drawn = [compose(face.image, draw_reference(face, np.random.default_rng(1), reference)) for face in faces]
    assert acceptance_rate(np.stack(drawn), limits, settings) == 1.0


def test_a_mask_that_cannot_be_lifted_gives_its_colour_to_a_drawn_one(faces):
    layers = draw_reference(faces[0], np.random.default_rng(1), MaskReference(None, (200, 30, 40), "0" * 64))
    red, green, blue = np.median(layers.mask.colour[layers.mask.alpha > 0.9], axis=0)
    assert red > 3 * green and red > 3 * blue


def test_a_lifted_mask_is_the_same_each_time(faces):
    masked = worn(faces[2], BLUE)
    first, second = lift_mask(masked), lift_mask(masked)
    assert (first.design.drawing == second.design.drawing).all() and first.fit == second.fit


def test_a_mask_cut_off_by_the_photos_edge_goes_on_without_streaks(faces):
    """The last rows of the photo, which OpenCV repeats below it, are striped."""
    masked = worn(faces[0], (60, 160, 80))
    height = len(masked.image)
    end = round(float(masked.landmarks[152, 1] - 0.06) * height)
    image = masked.image[:end].copy()
    image[-3:] = image[-3:] * np.repeat(np.tile((0.7, 1.2), 32), 4)[None, :, None]
    lifted = lift_mask(UnmaskedFace(image, masked.landmarks * np.array([1, height / end], np.float32)))
    lower = lifted.design.drawing[-60:-20, 100:-100, 1]
    assert np.abs(np.diff(lower.mean(axis=0), 1)).max() < 4
