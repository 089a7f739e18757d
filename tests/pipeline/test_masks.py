"""The mask renderer: a mask where its fit says, at any size, and layers that compose to the masked picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.faces.regions import CHIN, FACE_OVAL, MOUTH, NOSE, polygon_mask
from pipeline.masks import textures
from pipeline.masks.catalogue import WHITE
from pipeline.masks.compositing import CompositeStyle, Layer, MaskLayers, compose, render_mask
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import MaskFit, draw_any_fit, draw_fit, place_mask, unfolded
from pipeline.masks.light import exposed, face_light, white_balance
from pipeline.masks.named_designs import draw_kind
from pipeline.masks.photo_texture import add_grain, photo_texture
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
        design = draw_kind(rng, "cloth", WHITE, 416)
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
        assert 0.75 < reduced(large.straps.alpha).sum() / small.straps.alpha.sum() < 1.1
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


def test_a_photo_print_has_the_photo_s_contrast():
    photo = np.zeros((64, 64, 3), np.float32)
    photo[:, ::2, 0] = 255
    prints = [textures._photo_print(np.random.default_rng(seed), photo) for seed in range(8)]
    assert all(printed.min() < 5 and printed.max() > 250 for printed in prints)


def test_each_draw_of_a_fabric_is_different():
    rng = np.random.default_rng(4)
    assert len({textures.draw_texture(rng).tobytes() for _ in range(30)}) == 30


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_sheet_that_folds_back_is_drawn_up_to_the_fold_and_in_order(rendered_faces, mirrored):
    face = rendered_faces[0]
    placement = place_mask(face, MaskFit(0.9, 4.2, -1.0, 1.0, 0.0, 0.0))
    # The tip of the nose is far to one side of a turned face; the columns of the sheet turn back behind it.
    turned = placement.face.copy()
    turned[1] = turned[234] + 0.75 * (turned[454] - turned[234])
    across = np.array([0, 15, 30, 45, 58, 66, 60, 52, 44.0])
    places = np.dstack(np.meshgrid(60 + across, np.linspace(100, 180, 7)))
    if mirrored:
        turned[:, 0], places[..., 0] = 255 - turned[:, 0], 255 - places[..., 0]
    sheet = unfolded(places, replace(placement, face=turned, fit=replace(placement.fit, right=0.3)))
    steps = np.diff(sheet[..., 0], axis=1) * (-1 if mirrored else 1)
    assert (steps > 0).all() and (np.diff(sheet[..., 1], axis=0) > 0).all()
    assert np.abs(np.ptp(sheet[..., 0], axis=1) - 66).max() < 1e-6


def test_straps_and_shadow_stay_on_the_head(rendered_faces):
    rng = np.random.default_rng(10)
    for face in rendered_faces:
        layers = render_mask(face, surgical_design(draw_surgical_mask(rng)), draw_fit("correct", rng), PHOTOGRAPHED)
        head = cv2.dilate(polygon_mask(face.landmarks, FACE_OVAL, 256, 256), np.ones((49, 49)))
        beside = head == 0
        beside[round(256 * float(face.landmarks[152, 1])) :] = False  # the neck
        assert layers.straps.alpha.any() and layers.straps.alpha[beside].max() < 0.05
        assert layers.shadow[beside].max() < 0.05


def test_the_blur_of_a_photo_is_estimated(rendered_faces):
    image = cv2.resize(rendered_faces[0].image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    points = rendered_faces[0].landmarks.astype(float) * 512
    blurs = [photo_texture(cv2.GaussianBlur(image, (0, 0), sigma), points).blur for sigma in (0.5, 2, 3.5)]
    assert blurs[0] < blurs[1] < blurs[2] and abs(blurs[2] - 3.5) < 1


def test_grain_has_the_noise_of_the_photo(rendered_faces):
    points = rendered_faces[0].landmarks.astype(float) * 256
    grey = np.full((256, 256, 3), 128, np.float32)
    grainy = np.clip(np.rint(add_grain(grey, 4.0)), 0, 255).astype(np.uint8)
    assert photo_texture(grainy, points).noise == pytest.approx(4.0, rel=0.2)


def test_a_blurred_photo_gets_a_blurred_mask(rendered_faces):
    rng, face = np.random.default_rng(11), rendered_faces[0]
    design, fit = surgical_design(draw_surgical_mask(rng)), draw_fit("correct", rng)
    blurred = replace(face, image=np.asarray(cv2.GaussianBlur(face.image, (0, 0), 3), np.uint8))
    sharpness = [
        cv2.Laplacian(layers.mask.colour, cv2.CV_32F)[layers.coverage > 0.99].std()
        for layers in (render_mask(one, design, fit, FLAT) for one in (face, blurred))
    ]
    assert sharpness[1] < 0.5 * sharpness[0]


def test_a_bluish_photo_makes_a_bluish_mask(rendered_faces):
    image = rendered_faces[0].image.astype(np.float32)
    points = rendered_faces[0].landmarks.astype(float) * 256
    bluish, yellowish = (
        white_balance(np.clip(image * np.array([1 / gain, 1, gain]), 0, 255).astype(np.uint8), points)
        for gain in (1.4, 0.65)
    )
    assert bluish[2] > 1.02 > 0.98 > bluish[0] and yellowish[0] > 1.02 > 0.98 > yellowish[2]


def test_colours_too_bright_for_a_picture_keep_their_hue():
    colour = np.full((2, 2, 3), (200.0, 250.0, 300.0), np.float32)
    shown = exposed(colour)
    assert shown.max() <= 255 and np.allclose(shown[..., 0] / shown[..., 2], 2 / 3)


def test_a_face_lit_from_one_side_has_a_mask_lit_from_that_side(rendered_faces):
    face = rendered_faces[0]
    ramp = np.linspace(1.0, 0.35, 256)[None, :, None]
    light = face_light((face.image * ramp).astype(np.uint8), face.landmarks.astype(float) * 256)
    points = np.rint(face.landmarks[[50, 280]] * 256).astype(int)  # the cheeks
    left, right = sorted(points, key=lambda point: point[0])
    assert light[left[1], left[0]] > 1.25 * light[right[1], right[0]]
