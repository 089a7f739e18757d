"""Drawn masks and their corrections: what a correction can change, and what it cannot."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.drawings import (
    COARSE_BOUNDS,
    CORRECTION_CHANNELS,
    FINE_BOUNDS,
    changed_share,
    put_on,
    put_on_corrected,
)
from models.networks import make_generator
from models.training.data import to_pixels
from pipeline.masks.compositing import compose
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.worn import draw_worn, flatten
from tests.models.conftest import FACE

SIDE = 96
BOUNDS = torch.tensor(COARSE_BOUNDS + FINE_BOUNDS).view(1, -1, 1, 1)


def smooth_photo(side=SIDE):
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return to_pixels(functional.interpolate(coarse, (side, side), mode="bicubic") * 1.2 - 0.6)[0]


def drawn(side=SIDE, seed=0):
    """A photo (H, W, 3), and the layers of a mask drawn on it."""
    photo = smooth_photo(side)
    return photo, draw_worn(UnmaskedFace(photo, FACE), np.random.default_rng(seed))


def planes(array):
    """(H, W, C) uint8 -> (1, C, H, W) in [0, 1]."""
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def inputs():
    """An image (1, 3, H, W) in [-1, 1], and a drawing (1, 5, H, W)."""
    photo, layers = drawn()
    return planes(photo) * 2 - 1, planes(flatten(layers))


def any_correction(seed, side=SIDE):
    """A correction whose values are at their bounds, and change from pixel to pixel."""
    signs = torch.rand(1, CORRECTION_CHANNELS, side, side, generator=torch.Generator().manual_seed(seed)) > 0.5
    return (signs.float() * 2 - 1) * BOUNDS


@pytest.mark.parametrize("seed", range(4))
def test_a_flat_drawing_put_on_equals_the_composed_layers_within_a_grey_level(seed):
    photo, layers = drawn(seed=seed)
    found = to_pixels(put_on(planes(photo) * 2 - 1, planes(flatten(layers))))[0].astype(int)
    difference = np.abs(found - compose(photo, layers))
    assert difference.max() <= 2 and np.quantile(difference, 0.99) <= 1  # three rounded planes, and a rounded picture


def test_a_correction_of_zeros_is_the_drawing(inputs):
    image, drawing = inputs
    found = put_on_corrected(image, drawing, torch.zeros(1, CORRECTION_CHANNELS, SIDE, SIDE))
    assert (found - put_on(image, drawing)).abs().max() <= 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_no_correction_changes_anything_outside_the_drawing(inputs, seed):
    image, drawing = inputs
    found = put_on_corrected(image, drawing, any_correction(seed))
    outside = (changed_share(drawing) == 0).expand_as(image)
    assert outside.float().mean() > 0.2
    assert torch.equal(found[outside], image[outside])
    assert (found != put_on(image, drawing))[~outside].any()


@pytest.mark.parametrize("softness", [-1, 1])
def test_sharpened_and_softened_edges_of_a_grey_mask_on_a_grey_face_show_no_rim(softness):
    """The colour stays that of cloth or skin: without overshoot."""
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 20:44, 20:44] = 1
    alpha = functional.avg_pool2d(alpha, 3, stride=1, padding=1)
    grey = 0.5
    drawing = torch.cat([grey * alpha.expand(1, 3, 64, 64), alpha, torch.zeros_like(alpha)], dim=1)
    correction = torch.zeros(1, CORRECTION_CHANNELS, 64, 64)
    correction[:, 6] = softness * COARSE_BOUNDS[6]
    image = torch.full((1, 3, 64, 64), 2 * grey - 1)
    assert (put_on_corrected(image, drawing, correction) - image).abs().max() < 1e-5


def test_the_gradient_of_every_correction_is_finite(inputs):
    image, drawing = inputs
    for seed in range(3):
        correction = any_correction(seed).requires_grad_()
        put_on_corrected(image, drawing, correction).square().sum().backward()
        assert correction.grad.isfinite().all() and correction.grad.abs().max() < 100


def test_blurs_are_shares_of_the_frame_not_of_the_picture(inputs):
    """A part of a photo, as the painter corrects it, is changed as the whole."""
    image, drawing = inputs
    correction = any_correction(0)
    whole = put_on_corrected(image, drawing, correction)
    part = put_on_corrected(*(tensor[..., :72, 8:80] for tensor in (image, drawing, correction)), side=SIDE)
    assert torch.allclose(part[..., 8:-8, 8:-8], whole[..., 8:64, 16:72], atol=1e-6)


def corrector(strength):
    """G with a head of random weights of this strength."""
    torch.manual_seed(0)
    generator = make_generator("guided", "mask", 16, 3)
    for head in (generator.coarse[-1], generator.fine[-1]):
        torch.nn.init.normal_(head.weight, 0.0, strength)
    return generator


@torch.no_grad()
def test_every_correction_of_the_network_is_within_its_bounds(inputs):
    found = corrector(100.0).correction(*inputs)
    assert (found.abs() <= BOUNDS).all()
    assert (found.abs() > 0.9 * BOUNDS).any()


@torch.no_grad()
def test_the_untrained_network_returns_the_drawing(inputs):
    image, drawing = inputs
    generator = make_generator("guided", "mask", 16, 3)
    made, matte = generator(image, torch.zeros(1, 2, SIDE, SIDE), drawing)
    assert (made - put_on(image, drawing)).abs().max() <= 1e-6
    assert torch.equal(matte, changed_share(drawing))


@torch.no_grad()
def test_coarse_corrections_have_no_detail(inputs):
    """They come from a grid of 8 x 8: neighbouring pixels get nearly the same."""
    found = corrector(1.0).correction(*inputs)[:, : len(COARSE_BOUNDS)] / BOUNDS[:, : len(COARSE_BOUNDS)]
    assert (found[..., 1:] - found[..., :-1]).abs().max() <= 2 / (SIDE / 8) + 1e-6
    assert (found.amax(dim=(2, 3)) - found.amin(dim=(2, 3))).max() > 0.1
