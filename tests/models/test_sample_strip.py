"""Rows of sample images: what the generators make of a few test faces."""

import numpy as np
import pytest
from PIL import Image

from models.drawings import put_on
from models.methods.method import load_method
from models.training.data import to_pixels, whole_batch
from models.training.device import training_device
from models.training.distributed import ProcessGroup
from models.training.drawn_inputs import WholeDrawings
from models.training.optimisers import fresh_state
from models.training.sample_strip import write_row
from models.training.step import TrainingContext
from pipeline.masks.mask_set import NAME as MASKS
from pipeline.masks.mask_set import read_masks
from pipeline.storage.packed_arrays import read_set
from tests.models.conftest import TINY

SIDE, GAP = TINY.image_px, 2


def row_of(pack, images_seen):
    """The images (N, H, W, 3) of the row that an untrained guided model writes: three unmasked faces, two masked."""
    method, device = load_method("guided"), training_device(TINY)
    state = fresh_state(method.make_networks(TINY), TINY, device)
    state.images_seen = images_seen
    write_row(pack, state, pack, TrainingContext(TINY, method, device, ProcessGroup()))
    with Image.open(pack / f"{images_seen:012d}.png") as row:
        pixels = np.asarray(row)
    return np.stack([pixels[:, left : left + SIDE] for left in range(0, pixels.shape[1], SIDE + GAP)])


@pytest.fixture
def test_faces(pack):
    drawn = WholeDrawings(read_masks(pack / MASKS))
    return [
        whole_batch(read_set(pack, domain, "test"), domain, list(range(count)), SIDE, drawn)
        for domain, count in (("unmasked", 3), ("masked", 2))
    ]


def test_an_untrained_guided_model_shows_drawn_masks_and_drawn_bare_faces(pack, test_faces):
    unmasked, masked = test_faces
    row = row_of(pack, images_seen=4)
    drawn = to_pixels(put_on(unmasked.images, unmasked.drawing))
    assert np.abs(row[:3].astype(int) - drawn).max() <= 1
    assert np.array_equal(row[3:], to_pixels(2 * masked.bare[:, :3] - 1))


def test_before_the_first_step_the_row_shows_the_faces_themselves(pack, test_faces):
    row = row_of(pack, images_seen=0)
    assert np.array_equal(row, np.concatenate([to_pixels(faces.images) for faces in test_faces]))
