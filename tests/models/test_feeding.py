"""The batches of a training, in order, with worker processes and without."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from models.methods.method import load_method
from models.training.data import TrainingSet
from models.training.device import training_device
from models.training.distributed import ProcessGroup
from models.training.drawn_inputs import drawn_masks
from models.training.feeding import batches
from models.training.step import TrainingContext
from pipeline.storage.packed_arrays import DOMAINS, read_set
from tests.models.conftest import TINY


@pytest.fixture
def sets(pack):
    packed = {domain: read_set(pack, domain, "train") for domain in DOMAINS}
    epochs = load_method("guided").epoch_indices(packed["unmasked"], packed["masked"], TINY)
    masks = drawn_masks(packed["unmasked"], packed["masked"], [])
    return {domain: TrainingSet(domain, packed[domain], epochs[domain], masks) for domain in DOMAINS}


def fed(sets, images_seen=0, workers=None, rank=0, **changes):
    """The steps' positions, and all tensors of their batches."""
    params = replace(TINY, **changes)
    group = ProcessGroup(rank, 2) if rank else ProcessGroup()
    context = TrainingContext(params, load_method(params.method), training_device(params), group)
    return [
        (positions, unmasked.positions, [part for part in (*unmasked.faces, *masked.faces) if part is not None])
        for positions, unmasked, masked in batches(sets, context, images_seen, workers)
    ]


def equal(one, other):
    return [first[:2] for first in one] == [second[:2] for second in other] and all(
        torch.equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first[2], second[2], strict=True)
    )


def test_worker_processes_make_the_same_batches_in_the_same_order(sets):
    assert equal(fed(sets), fed(sets, workers=2))


def test_worker_processes_start_where_opencv_has_threads(sets):
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (31, 31), 0)  # starts them
    try:
        assert equal(fed(sets), fed(sets, workers=2))
    finally:
        cv2.setNumThreads(before)


def test_a_resumed_training_gets_the_batches_that_are_left(sets):
    assert equal(fed(sets)[2:], fed(sets, images_seen=4))


@pytest.mark.parametrize(("batch_size", "sizes"), [(2, [2] * 6), (5, [5, 5, 2]), (12, [12])])
def test_the_batches_hold_all_images_of_the_training(sets, batch_size, sizes):
    made = fed(sets, batch_size=batch_size)
    assert [len(tensors[0]) for _, _, tensors in made] == sizes
    assert [position for positions, _, _ in made for position in positions] == list(range(12))


@pytest.mark.parametrize("batch_size", [2, 5])
def test_after_the_last_image_there_is_no_batch(sets, batch_size):
    assert fed(sets, images_seen=12, batch_size=batch_size) == []


def test_a_process_of_two_gets_its_half_of_each_batch(sets):
    whole, half = fed(sets), fed(sets, rank=1)
    for (positions, _, all_of_it), (same, share, part) in zip(whole, half, strict=True):
        assert same == positions and share == positions[1:]
        assert all(torch.equal(one[1:], other) for one, other in zip(all_of_it, part, strict=True))
