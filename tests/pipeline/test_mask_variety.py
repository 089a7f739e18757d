"""Fabrics and fits of training examples, and tight crops: each is what its name says."""

import numpy as np
import pytest

from pipeline.masks.designs import draw_design
from pipeline.masks.records import HEIGHT, WIDTH
from pipeline.synthetic import mask_examples, mask_variety


def test_fabrics_have_a_design_s_size_and_are_of_many_kinds(rendered_faces):
    rng = np.random.default_rng(1)
    fabrics = [mask_variety.draw_fabric(rng, rendered_faces[0], rendered_faces[1]) for _ in range(60)]
    drawn = [fabric for fabric in fabrics if fabric is not None]
    assert 0 < len(fabrics) - len(drawn) < 15
    assert {fabric.shape for fabric in drawn} == {(HEIGHT, WIDTH, 3)}
    assert all(fabric.min() >= 0 and fabric.max() <= 320 for fabric in drawn)


def test_some_fabrics_have_the_wearer_s_skin_colour(rendered_faces):
    rng, (wearer, other) = np.random.default_rng(2), rendered_faces[:2]
    skin = mask_variety.skin_colour(wearer)
    fabrics = [mask_variety.draw_fabric(rng, wearer, other) for _ in range(200)]
    colours = np.array([np.median(fabric, axis=(0, 1)) for fabric in fabrics if fabric is not None])
    near = np.abs(colours / colours.mean(axis=1, keepdims=True) - skin / skin.mean()).max(axis=1) < 0.08
    similar = np.abs(colours.mean(axis=1) / skin.mean() - 1) < 0.3
    assert (near & similar).mean() > 0.06


def test_a_fabric_is_the_colour_of_the_design(rendered_faces):
    rng, red = np.random.default_rng(3), np.full((HEIGHT, WIDTH, 3), (200, 10, 10), np.float32)
    for family in ("surgical", "folded", "cloth"):
        middle = draw_design(rng, family, red).drawing[HEIGHT // 3 : HEIGHT // 2, WIDTH // 3 : WIDTH // 2, :3]
        assert middle[..., 0].mean() > 4 * middle[..., 1].mean()


def test_varied_fits_are_masks_with_an_inside_and_reach_what_any_fit_does_not():
    rng = np.random.default_rng(4)
    fits = [mask_variety.draw_varied_fit(rng) for _ in range(400)]
    assert all(fit.top < fit.bottom and fit.left < fit.right for fit in fits)
    assert any(fit.right - fit.left > 2.5 for fit in fits)  # far too large
    assert any(abs(fit.tilt) > 0.7 and fit.top < 0.8 for fit in fits)  # over one eye
    assert any(fit.right - fit.left < 1.2 and fit.bottom > 4 for fit in fits)  # narrow


@pytest.mark.parametrize("seed", range(5))
def test_a_tight_crop_keeps_the_landmarks_on_their_pixels(rendered_faces, seed):
    face = rendered_faces[0]
    height, width = face.image.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = np.dstack([x, y, 0 * x]).astype(np.uint8)
    mask = (x / width).astype(np.float32)
    scene = mask_examples.Scene(image, face.landmarks, mask, mask)
    tight = mask_examples._crop_tightly(np.random.default_rng(seed), scene)
    assert tight.image.size < image.size and tight.mask.shape == tight.occluder.shape == tight.image.shape[:2]
    nose = tight.landmarks[1] * tight.image.shape[1::-1]
    at = tight.image[int(nose[1]), int(nose[0])]
    assert np.abs(at[:2] - face.landmarks[1] * (width, height)).max() < 2
    assert tight.mask[int(nose[1]), int(nose[0])] == pytest.approx(at[0] / width, abs=0.01)
