"""The mask renderer: a mask where its fit says, at any size, and layers that compose to the masked picture."""

import cv2
import numpy as np
import pytest

from pipeline.faces.regions import CHIN, MOUTH, NOSE, polygon_mask
from pipeline.masks import textures
from pipeline.masks.canvas import canvas_of
from pipeline.masks.compositing import CompositeStyle, Layer, MaskLayers, compose, render_mask
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import draw_any_fit, draw_fit
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.surgical import draw_surgical_mask, surgical_design

PHOTOGRAPHED = CompositeStyle(light=0.5, shadow=0.2, pasted=False, opacity=1.0)
FLAT = CompositeStyle(light=0.0, shadow=0.0, pasted=False, opacity=1.0)


def _covered(layers: MaskLayers, face: UnmaskedFace, polygon: tuple[int, ...]) -> float:
    """The mean coverage within a polygon of landmarks."""
    return float(layers.coverage[polygon_mask(face.landmarks, polygon, 256, 256) > 0].mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_correctly_worn_mask_of_each_family_covers_nose_mouth_and_chin(rendered_faces, family):
    rng = np.random.default_rng(1)
    for face in rendered_faces:
        layers = render_mask(face, draw_design(rng, family, None), draw_fit("correct", rng), PHOTOGRAPHED)
        nose, mouth, chin = (_covered(layers, face, polygon) for polygon in (NOSE, MOUTH, CHIN))
        assert mouth > 0.95 and chin > 0.8 and nose > 0.7


def test_the_picture_changes_where_the_coverage_says_and_hardly_elsewhere(rendered_faces):
    rng = np.random.default_rng(2)
    for face in rendered_faces:
        design = draw_design(rng, "cloth", None, white=True)
        layers = render_mask(face, design, draw_any_fit(rng), FLAT)
        changed = np.abs(compose(face.image, layers).astype(int) - face.image).max(axis=2) > 4
        assert changed[layers.coverage > 0.9].mean() > 0.85
        assert changed[layers.coverage == 0].mean() < 0.05  # the straps


def test_rendering_twice_gives_the_same_layers(rendered_faces):
    rng = np.random.default_rng(3)
    design, fit = draw_design(rng, "kn95", None), draw_any_fit(rng)
    face = rendered_faces[0]
    one, other = (compose(face.image, render_mask(face, design, fit, PHOTOGRAPHED)) for _ in range(2))
    assert np.array_equal(one, other)


def test_a_picture_of_three_times_the_size_shows_the_same_mask(rendered_faces):
    rng = np.random.default_rng(4)

    def reduced(layer: np.ndarray) -> np.ndarray:
        return cv2.resize(layer, (256, 256), interpolation=cv2.INTER_AREA)

    for face in rendered_faces:
        image = cv2.resize(face.image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        design, fit = surgical_design(draw_surgical_mask(rng)), draw_fit("correct", rng)
        small = render_mask(face, design, fit, PHOTOGRAPHED)
        large = render_mask(UnmaskedFace(image, face.landmarks), design, fit, PHOTOGRAPHED)
        assert np.abs(reduced(large.coverage) - small.coverage).mean() < 0.004
        assert np.abs(reduced(large.shadow) - small.shadow).mean() < 0.0007
        # Straps are drawn in whole pixels: in small pictures they are thicker.
        assert 0.5 < reduced(large.straps.alpha).sum() / small.straps.alpha.sum() < 1.1
        assert np.abs(reduced(compose(image, large)).astype(int) - compose(face.image, small)).mean() < 2


def test_transparent_layers_leave_the_picture_as_it_is(rendered_faces):
    image = rendered_faces[0].image
    nothing = np.zeros(image.shape[:2], np.float32)
    layer = Layer(np.full(image.shape, 99, np.float32), nothing)
    assert np.array_equal(compose(image, MaskLayers(nothing, layer, layer, nothing)), image)


def test_the_shadow_is_beside_the_mask_and_darkens(rendered_faces):
    rng = np.random.default_rng(5)
    face, design, fit = rendered_faces[0], draw_design(rng, "kn95", None), draw_fit("correct", rng)
    layers = render_mask(face, design, fit, PHOTOGRAPHED)
    beside = (layers.coverage == 0) & (layers.straps.alpha == 0)
    change = compose(face.image, layers).astype(int) - face.image
    assert not layers.shadow[layers.coverage == 1].any()
    assert (change[beside] <= 0).all() and (change[beside] < -2).any()


def test_opacity_shows_in_the_layer_and_not_in_the_coverage(rendered_faces):
    rng = np.random.default_rng(6)
    face, design, fit = rendered_faces[0], draw_design(rng, "cup", None), draw_fit("correct", rng)
    layers = render_mask(face, design, fit, CompositeStyle(light=0.0, shadow=0.0, pasted=False, opacity=0.5))
    assert layers.coverage.max() == 1 and layers.mask.alpha.max() == 0.5


def test_a_pasted_mask_has_hard_edges(rendered_faces):
    rng = np.random.default_rng(7)
    face, design, fit = rendered_faces[0], draw_design(rng, "cup", None), draw_fit("correct", rng)
    layers = render_mask(face, design, fit, CompositeStyle(light=0.0, shadow=0.0, pasted=True, opacity=1.0))
    assert set(np.unique(layers.coverage)) == {0.0, 1.0}


def test_a_white_design_is_white():
    drawing = draw_design(np.random.default_rng(3), "snug", None, white=True).drawing
    inside = drawing[drawing[..., 3] > 0.9][:, :3]
    assert inside.mean() > 150 and np.ptp(inside.mean(axis=0)) < 25


def test_a_photo_print_has_the_photo_s_contrast():
    photo = np.zeros((64, 64, 3), np.float32)
    photo[:, ::2, 0] = 255
    prints = [textures._photo_print(np.random.default_rng(seed), photo, canvas_of(1)) for seed in range(8)]
    assert all(printed.min() < 5 and printed.max() > 250 for printed in prints)


def test_each_draw_of_a_fabric_is_different():
    rng = np.random.default_rng(4)
    assert len({textures.draw_texture(rng).tobytes() for _ in range(30)}) == 30
