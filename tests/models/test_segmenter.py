"""The segmenter: repeatable to the bit, able to learn, and the same in OpenCV as in torch."""

import numpy as np
import pytest
import torch

from models.segmenter import augment, train
from models.segmenter.network import Segmenter
from pipeline.faces import mask_coverage as cover
from pipeline.faces.mask_coverage import SIDE
from pipeline.faces.onnx_session import open_session
from pipeline.synthetic.mask_examples import PLANES


@pytest.fixture(scope="module")
def square():
    """Sixteen crops with a bright square as the mask."""
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 90, (16, SIDE + 16, SIDE + 16, 3), dtype=np.uint8)
    truth = np.zeros((*crops.shape[:3], len(PLANES)), np.uint8)
    crops[:, 30:60, 25:55] += 150
    truth[:, 30:60, 25:55, 0] = 255
    truth[:, 30:70, 30:50, 1:] = 255
    return crops, truth


def test_the_same_seed_gives_the_same_weights(square):
    one, other = (train.fit(*square, steps=3, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns(square):
    network = train.fit(*square, steps=25, seed=1)
    pixels, planes = augment.batch_of(np.random.default_rng(9), *square, SIDE)
    with torch.no_grad():
        found = network(pixels).sigmoid()[:, 0] > 0.5
    assert (found == (planes[:, 0] > 0.5)).float().mean() > 0.9


def test_the_right_answer_costs_less_than_a_wrong_one(square):
    _, planes = augment.batch_of(np.random.default_rng(9), *square, SIDE)
    right, wrong = 16 * planes - 8, 8 - 16 * planes
    assert 10 * train.loss_of(right, planes) < train.loss_of(wrong, planes)


def test_augmenting_keeps_pixels_and_truth_together(square):
    pixels, planes = augment.batch_of(np.random.default_rng(4), *square, SIDE)
    bright = torch.nn.functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), 2)[:, 0]
    inside, outside = planes[:, 0] > 0.95, planes[:, 0] < 0.05
    assert (bright[inside].mean() - bright[outside].mean()) > 0.5


def test_a_mirrored_face_swaps_its_cheeks():
    truth = np.zeros((64, SIDE, SIDE, len(PLANES)), np.uint8)
    truth[:, :, : SIDE // 2, 6], truth[:, :, SIDE // 2 :, 7] = 255, 255
    _, planes = augment.batch_of(np.random.default_rng(4), np.zeros((64, SIDE, SIDE, 3), np.uint8), truth, SIDE)
    assert (planes[:, 6, :, :12] > 0.9).all() and (planes[:, 7, :, -12:] > 0.9).all()


def test_onnx_runtime_reads_the_export_and_agrees(tmp_path):
    pytest.importorskip("onnx", reason="exporting needs the extra `export`")
    torch.manual_seed(0)
    network = Segmenter(len(PLANES)).eval()
    train.export(network, tmp_path / "cover.onnx")
    pixels = torch.randn(3, 3, SIDE, SIDE)
    read = open_session(tmp_path / "cover.onnx").run(None, {"pixels": pixels.numpy()})[0]
    with torch.no_grad():
        assert np.allclose(read, network(pixels)[:, : len(cover.CHANNELS)].numpy(), atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["cover.onnx"]
