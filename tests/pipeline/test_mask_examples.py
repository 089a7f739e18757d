"""Generated masks: repeatable, and true where they say that a mask is."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.faces.landmarker import open_landmarker
from pipeline.faces.regions import CHIN, MOUTH, NOSE, polygon_mask
from pipeline.masks import surgical_fit as wear
from pipeline.masks import textures
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import CompositeStyle, draw_any_fit, put_on
from pipeline.synthetic import mask_examples as examples
from pipeline.synthetic import occluders as clutter
from pipeline.synthetic import variations as vary
from pipeline.synthetic.camera_effects import degrade
from pipeline.synthetic.mask_examples import UnmaskedFace
from pipeline.synthetic.portraits import load_portraits

NEAT = CompositeStyle(light=0.5, shadow=0.2, pasted=False, opacity=1.0)


@pytest.fixture(scope="module")
def faces() -> list[UnmaskedFace]:
    portraits, out = load_portraits(256), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        out.append(UnmaskedFace(*vary.render(portraits, vary.draw_variation(rng, 2), rng, 256)))
    return out


def covered(worn: np.ndarray, face: UnmaskedFace, polygon: tuple[int, ...]) -> float:
    return float(worn[polygon_mask(face.points, polygon, 256, 256) > 0].mean())


@pytest.fixture(scope="module")
def drawn(faces):
    """Two runs from one seed."""
    with open_landmarker(1) as detect:
        return [list(islice(examples.draw_examples(np.random.default_rng(8), faces, detect), 40)) for _ in range(2)]


def test_the_same_seed_gives_the_same_examples(drawn):
    for one, other in zip(*drawn, strict=True):
        assert np.array_equal(one.crop, other.crop) and np.array_equal(one.truth, other.truth)


def test_an_example_has_a_plane_for_each_answer_of_the_network(drawn):
    assert drawn[0][0].truth.shape == (examples.SIDE, examples.SIDE, len(examples.PLANES))


def test_no_mask_no_covered_pixel(drawn):
    bare = [one for one in drawn[0] if one.design is None]
    assert bare and all(not one.truth[..., 0].any() for one in bare)


def test_masked_and_bare_faces_are_both_drawn(drawn):
    masked = np.mean([one.design is not None for one in drawn[0]])
    assert 0.5 < masked < 0.9


def test_the_left_cheek_lies_left_in_the_picture(drawn):
    for one in drawn[0]:
        left, right = (one.truth[..., plane].sum(axis=0) for plane in (6, 7))
        if left.any() and right.any():
            along = np.arange(examples.SIDE)
            assert (left @ along) / left.sum() < (right @ along) / right.sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mask_of_each_family_worn_correctly_covers_nose_mouth_and_chin(faces, family):
    rng = np.random.default_rng(1)
    for face in faces:
        design, fit = draw_design(rng, family, None), wear.draw_fit("correct", rng)
        _, worn = put_on(face.image, face.points, design, fit, NEAT)
        assert covered(worn, face, MOUTH) > 0.95 and covered(worn, face, CHIN) > 0.8 and covered(worn, face, NOSE) > 0.7


def test_the_picture_changes_where_the_truth_says_so_and_hardly_elsewhere(faces):
    rng = np.random.default_rng(2)
    for face in faces:
        design = draw_design(rng, "cloth", None, white=True)
        masked, worn = put_on(face.image, face.points, design, draw_any_fit(rng), CompositeStyle(0, 0, False, 1.0))
        changed = np.abs(masked.astype(int) - face.image).max(axis=2) > 4
        assert changed[worn > 0.9].mean() > 0.85
        assert changed[worn == 0].mean() < 0.05  # the straps


def test_a_white_mask_is_white():
    drawing = draw_design(np.random.default_rng(3), "snug", None, white=True).drawing
    inside = drawing[drawing[..., 3] > 0.9][:, :3]
    assert inside.mean() > 150 and np.ptp(inside.mean(axis=0)) < 25


def test_cloth_may_be_printed_with_a_piece_of_a_photo():
    rng, photo = np.random.default_rng(4), np.zeros((64, 64, 3), np.float32)
    photo[:, ::2] = 255
    assert len({textures.draw_texture(rng, photo).tobytes() for _ in range(30)}) == 30


@pytest.mark.parametrize("kind", range(len(clutter._KINDS)))
def test_each_kind_of_clutter_stays_a_picture(faces, kind):
    rng, face = np.random.default_rng(kind), faces[0]
    colours, alpha = clutter._KINDS[kind](rng, face.image.astype(np.float32), face.points.astype(float) * 256)
    assert colours.shape == (256, 256, 3) and alpha.shape == (256, 256)
    assert np.isfinite(colours).all() and alpha.min() >= 0 and alpha.max() <= 1


def test_the_camera_keeps_size_and_kind(faces):
    for seed in range(20):
        spoilt = degrade(np.random.default_rng(seed), faces[0].image)
        assert spoilt.shape == faces[0].image.shape and spoilt.dtype == np.uint8


def test_faces_are_read_from_folders(tmp_path: Path, faces):
    cv2.imwrite(str(tmp_path / "a.png"), faces[0].image[..., ::-1])
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((64, 64, 3), np.uint8))
    with open_landmarker(2) as detect:
        read = examples.read_unmasked_faces([tmp_path], detect)
    assert len(read) == 1 and np.abs(read[0].points.mean(axis=0) - 0.5).max() < 0.25
