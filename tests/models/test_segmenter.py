"""The segmenter: reproducible to the bit, able to learn, and the same in ONNX Runtime as in torch."""

import numpy as np
import pytest
import torch

from models.segmenter import augment
from models.segmenter import train as training
from models.segmenter.network import Segmenter
from pipeline.faces.alignment import CROP_SIDE
from pipeline.faces.mask_coverage import CHANNELS
from pipeline.faces.onnx_session import open_session
from pipeline.synthetic.mask_examples import TRUTH_CHANNELS


@pytest.fixture(scope="module")
def square():
    """Sixteen crops with a bright square as the mask."""
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 90, (16, CROP_SIDE + 16, CROP_SIDE + 16, 3), dtype=np.uint8)
    truth = np.zeros((*crops.shape[:3], len(TRUTH_CHANNELS)), np.uint8)
    crops[:, 30:60, 25:55] += 150
    truth[:, 30:60, 25:55, 0] = 255
    truth[:, 30:70, 30:50, 1:] = 255
    return crops, truth


def test_the_same_seed_gives_the_same_weights(square):
    one, other = (training.train(*square, steps=3, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_training_learns_to_segment_the_mask(square):
    network = training.train(*square, steps=25, seed=1)
    pixels, target = augment.augment_batch(np.random.default_rng(9), *square, CROP_SIDE)
    with torch.no_grad():
        predicted = network(pixels).sigmoid()[:, 0] > 0.5
    assert (predicted == (target[:, 0] > 0.5)).float().mean() > 0.9


def test_the_loss_of_the_correct_answer_is_less_than_that_of_a_wrong_one(square):
    _, target = augment.augment_batch(np.random.default_rng(9), *square, CROP_SIDE)
    correct, wrong = 16 * target - 8, 8 - 16 * target
    assert 10 * training.segmentation_loss(correct, target) < training.segmentation_loss(wrong, target)


def test_augmentation_keeps_pixels_and_truth_aligned(square):
    pixels, target = augment.augment_batch(np.random.default_rng(4), *square, CROP_SIDE)
    bright = torch.nn.functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), 2)[:, 0]
    inside, outside = target[:, 0] > 0.95, target[:, 0] < 0.05
    assert (bright[inside].mean() - bright[outside].mean()) > 0.5


def test_mirroring_a_face_swaps_its_cheeks():
    truth = np.zeros((64, CROP_SIDE, CROP_SIDE, len(TRUTH_CHANNELS)), np.uint8)
    truth[:, :, : CROP_SIDE // 2, 6], truth[:, :, CROP_SIDE // 2 :, 7] = 255, 255
    crops = np.zeros((*truth.shape[:3], 3), np.uint8)
    _, target = augment.augment_batch(np.random.default_rng(4), crops, truth, CROP_SIDE)
    assert (target[:, 6, :, :12] > 0.9).all() and (target[:, 7, :, -12:] > 0.9).all()


def test_onnx_runtime_reads_the_export_and_agrees_with_torch(tmp_path):
    pytest.importorskip("onnx", reason="exporting needs the extra `export`")
    torch.manual_seed(0)
    network = Segmenter(len(TRUTH_CHANNELS)).eval()
    training.export(network, tmp_path / "segmenter.onnx")
    pixels = torch.randn(3, 3, CROP_SIDE, CROP_SIDE)
    logits = open_session(tmp_path / "segmenter.onnx").run(None, {"pixels": pixels.numpy()})[0]
    with torch.no_grad():
        assert np.allclose(logits, network(pixels)[:, : len(CHANNELS)].numpy(), atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["segmenter.onnx"]
