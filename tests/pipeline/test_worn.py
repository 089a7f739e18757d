"""Masks as they are worn: flat drawings, the colour of a mask, and masks of a colour."""

import numpy as np
import pytest

from pipeline.masks.catalogue import KINDS
from pipeline.masks.compositing import Layer, MaskLayers, compose
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.worn import DRAWING_CHANNELS, draw_like, draw_varied, draw_worn, flatten, mask_colour

COLOURS = [(20, 20, 22), (45, 45, 50), (40, 60, 120), (150, 190, 222), (200, 40, 40), (235, 238, 240)]


def seen_colour(layers):
    return np.median(layers.mask.colour[layers.mask.alpha > 0.9], axis=0)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_mask_drawn_like_another_has_its_median_colour(rendered_faces, colour):
    for seed, face in enumerate(rendered_faces):
        layers = draw_like(face, np.random.default_rng(seed), colour)
        assert np.abs(seen_colour(layers) - colour).max() <= 6


@pytest.mark.parametrize("colour", COLOURS)
def test_the_colour_of_a_mask_is_read_where_it_is(rendered_faces, colour):
    for seed, face in enumerate(rendered_faces):
        masked = compose(face.image, draw_like(face, np.random.default_rng(seed), colour))
        assert np.abs(np.array(mask_colour(masked, face.landmarks)) - colour).max() <= 30


def test_a_flat_drawing_holds_the_straps_under_the_mask():
    """One pixel each: mask alone, strap alone, half a mask over a strap, nothing but shadow."""
    mask_alpha, strap_alpha = np.array([[1, 0, 0.5, 0]], np.float32), np.array([[0, 1, 1, 0]], np.float32)
    layers = MaskLayers(
        shadow=np.array([[0, 0, 0, 0.4]], np.float32),
        straps=Layer(np.full((1, 4, 3), 200, np.float32), strap_alpha),
        mask=Layer(np.full((1, 4, 3), 100, np.float32), mask_alpha),
        coverage=mask_alpha,
    )
    flat = flatten(layers)
    assert flat.shape == (1, 4, DRAWING_CHANNELS)
    assert flat[0, :, 0].tolist() == [100, 200, 150, 0]
    assert flat[0, :, 3].tolist() == [255, 255, 255, 0]
    assert flat[0, :, 4].tolist() == [0, 0, 0, 102]


def test_varied_masks_differ_and_follow_from_their_seed(rendered_faces):
    face = rendered_faces[0]
    drawn = [flatten(draw_varied(face, np.random.default_rng(seed))).tobytes() for seed in (0, 1, 2, 3, 0)]
    assert len(set(drawn)) == 4 and drawn[0] == drawn[4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_same_mask_on_a_larger_picture(rendered_faces, kind):
    """The generator corrects the mask that it sees at its own size: the photo must show the same one."""
    face = rendered_faces[0]
    large = UnmaskedFace(face.image.repeat(3, axis=0).repeat(3, axis=1), face.landmarks)
    small, reduced = (
        flatten(draw_worn(one, np.random.default_rng(5), kind, (90, 120, 150))).astype(float) for one in (face, large)
    )
    reduced = reduced.reshape(256, 3, 256, 3, -1).mean(axis=(1, 3))
    inside = small[..., 3] > 250
    assert np.abs(small[..., 3] - reduced[..., 3]).mean() < 1.5
    assert np.abs(small - reduced)[inside][:, :3].mean() < 4


def moved_faces():
    """Landmarks that a detector may give: far off the picture, tiny, turned upside down, or a line."""
    rng = np.random.default_rng(0)
    face = rng.uniform(0.2, 0.8, (478, 2)).astype(np.float32)
    return {
        "scattered": face,
        "outside": face + 3,
        "half outside": face - 0.5,
        "tiny": 0.5 + 0.002 * face,
        "huge": 20 * (face - 0.5),
        "upside down": 1 - face,
    }


@pytest.mark.parametrize("points", moved_faces().values(), ids=moved_faces())
@pytest.mark.parametrize("draw", [draw_worn, draw_varied, lambda face, rng: draw_like(face, rng, (90, 120, 150))])
def test_odd_landmarks_end_no_training(points, draw):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    for seed in range(6):
        flat = flatten(draw(UnmaskedFace(image, points), np.random.default_rng(seed)))
        assert flat.shape == (64, 64, DRAWING_CHANNELS)
    mask_colour(image, points)
