"""Generated training examples: reproducible, and with a mask where their ground truth says."""

import os
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import FacemaskError
from pipeline.synthetic import mask_examples, occluders
from pipeline.synthetic.camera_effects import degrade


@pytest.fixture(scope="module")
def drawn(rendered_faces):
    """Two runs from one seed."""
    runs = [mask_examples.draw_examples(np.random.default_rng(8), rendered_faces) for _ in range(2)]
    return [list(islice(run, 40)) for run in runs]


def test_the_same_seed_gives_the_same_examples(drawn):
    for one, other in zip(*drawn, strict=True):
        assert np.array_equal(one.crop, other.crop) and np.array_equal(one.truth, other.truth)


def test_an_example_has_a_channel_for_each_output_of_the_network(drawn):
    shape = (mask_examples.SIDE, mask_examples.SIDE, len(mask_examples.TRUTH_CHANNELS))
    assert {example.truth.shape for example in drawn[0]} == {shape}


def test_an_example_without_a_mask_has_no_masked_pixel(drawn):
    unmasked = [example for example in drawn[0] if example.design is None]
    assert unmasked and not any(example.truth[..., 0].any() for example in unmasked)


def test_masked_and_unmasked_faces_are_both_drawn(drawn):
    masked = np.mean([example.design is not None for example in drawn[0]])
    assert 0.5 < masked < 0.9


def test_the_left_cheek_is_on_the_left_of_the_image(drawn):
    for example in drawn[0]:
        left, right = (example.truth[..., channel].sum(axis=0) for channel in (6, 7))
        if left.any() and right.any():
            columns = np.arange(mask_examples.SIDE)
            assert (left @ columns) / left.sum() < (right @ columns) / right.sum()


@pytest.mark.parametrize("kind", range(len(occluders._KINDS)))
def test_an_occluder_is_a_layer_of_the_picture_s_size(rendered_faces, kind):
    rng, face = np.random.default_rng(kind), rendered_faces[0]
    layer = occluders._KINDS[kind](rng, face.image.astype(np.float32), face.landmarks.astype(float) * 256)
    assert layer.colour.shape == (256, 256, 3) and layer.alpha.shape == (256, 256)
    assert np.isfinite(layer.colour).all() and layer.alpha.min() >= 0 and layer.alpha.max() <= 1


def test_an_occluder_changes_the_picture_only_where_its_alpha_says(rendered_faces):
    face = rendered_faces[0]
    for seed in range(10):
        occluded, alpha = occluders.add_occluder(np.random.default_rng(seed), face, over_mask=False)
        assert alpha.any() and np.array_equal(occluded.image[alpha == 0], face.image[alpha == 0])


def test_camera_effects_keep_size_and_type(rendered_faces):
    image = rendered_faces[0].image
    for seed in range(20):
        degraded = degrade(np.random.default_rng(seed), image)
        assert degraded.shape == image.shape and degraded.dtype == np.uint8


def test_faces_are_read_from_folders_and_images_without_a_readable_face_are_skipped(tmp_path: Path, rendered_faces):
    cv2.imwrite(str(tmp_path / "face.png"), rendered_faces[0].image[..., ::-1])
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "text.png").write_bytes(b"not an image")
    faces = mask_examples.read_unmasked_faces((tmp_path,))
    assert len(faces) == 1 and np.abs(faces[0].landmarks.mean(axis=0) - 0.5).max() < 0.25


def test_a_fifo_among_the_images_is_an_error_and_not_an_endless_wait(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OSError, match="not a regular file"):
        mask_examples.read_unmasked_faces((tmp_path,))


def test_folders_without_a_face_are_an_error_that_names_them(tmp_path: Path):
    with pytest.raises(FacemaskError, match=str(tmp_path)):
        mask_examples.generate([tmp_path], (1,), 1)
