"""Our networks against the paper's, written once more with the layers that the authors' files name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.export import authors_weights as reference
from models.training import checkpoint
from models.training.loop import train
from pipeline.errors import FacemaskError
from tests.models.conftest import TINY

BLOCKS, WIDTH = 2, 8


def norm(channels):
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


class Net(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def paper_generator(k=WIDTH):
    """c7s1-k, d2k, d4k, R4k x n, u2k, uk, c7s1-3 (appendix 7.2)."""
    return Net(
        nn.ReflectionPad2d(3), nn.Conv2d(3, k, 7), norm(k), nn.ReLU(),
        nn.Conv2d(k, 2 * k, 3, stride=2, padding=1), norm(2 * k), nn.ReLU(),
        nn.Conv2d(2 * k, 4 * k, 3, stride=2, padding=1), norm(4 * k), nn.ReLU(),
        *(Block(4 * k) for _ in range(BLOCKS)),
        nn.ConvTranspose2d(4 * k, 2 * k, 3, stride=2, padding=1, output_padding=1), norm(2 * k), nn.ReLU(),
        nn.ConvTranspose2d(2 * k, k, 3, stride=2, padding=1, output_padding=1), norm(k), nn.ReLU(),
        nn.ReflectionPad2d(3), nn.Conv2d(k, 3, 7), nn.Tanh(),
    )  # fmt: skip


def paper_discriminator(k=WIDTH):
    """C64-C128-C256-C512 and a last convolution (appendix 7.2)."""
    return Net(
        nn.Conv2d(3, k, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(k, 2 * k, 4, stride=2, padding=1), norm(2 * k), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * k, 4 * k, 4, stride=2, padding=1), norm(4 * k), nn.LeakyReLU(0.2),
        nn.Conv2d(4 * k, 8 * k, 4, stride=1, padding=1), norm(8 * k), nn.LeakyReLU(0.2),
        nn.Conv2d(8 * k, 1, 4, stride=1, padding=1),
    )  # fmt: skip


@pytest.fixture
def params():
    return replace(TINY, generator="resnet", width=WIDTH, blocks=BLOCKS, discriminator_width=WIDTH)


@pytest.fixture
def ours(params):
    return checkpoint.make_networks(params)


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("name", reference.FILES)
def test_the_same_weights_give_the_same_output_in_the_papers_network(name, ours, pictures):
    theirs = paper_generator() if name in checkpoint.GENERATORS else paper_discriminator()
    theirs.load_state_dict(reference.to_authors_layout(name, ours[name].state_dict(), BLOCKS))
    with torch.inference_mode():
        made = ours[name](pictures, pictures[:, :1])[0] if name in checkpoint.GENERATORS else ours[name](pictures)
        assert (made - theirs(pictures)).abs().max() < 1e-5


@pytest.mark.parametrize("name", reference.FILES)
def test_there_and_back_the_weights_are_the_same(name, ours):
    weights = ours[name].state_dict()
    back = reference.from_authors_layout(name, reference.to_authors_layout(name, weights, BLOCKS))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_files_saved_from_dataparallel_with_old_statistics_are_read(ours):
    theirs = reference.to_authors_layout("generator_mask", ours["generator_mask"].state_dict(), BLOCKS)
    old = {f"module.{key}": value for key, value in theirs.items()} | {
        "module.model.2.running_mean": torch.zeros(WIDTH)
    }
    assert reference.from_authors_layout("generator_mask", old).keys() == ours["generator_mask"].state_dict().keys()


def test_a_checkpoint_goes_out_and_comes_back(pack, params):
    train(params, Path("data/train"), Path("checkpoints"), Path("reports"))
    reference.write_authors_weights(Path("checkpoints"), Path("theirs"))
    assert sorted(path.name for path in Path("theirs").iterdir()) == sorted(reference.FILES.values())
    reference.read_authors_weights(Path("theirs"), Path("back"))
    one, _ = checkpoint.load_generators(Path("checkpoints"))
    other, info = checkpoint.load_generators(Path("back"))
    assert not checkpoint.other_networks(info, params)
    for name in checkpoint.GENERATORS:
        pairs = zip(one[name].parameters(), other[name].parameters(), strict=True)
        assert all(torch.equal(left, right) for left, right in pairs)


def test_a_guided_checkpoint_has_no_counterpart_and_that_is_said(pack):
    train(TINY, Path("data/train"), Path("checkpoints"), Path("reports"))
    with pytest.raises(FacemaskError, match="are guided: only resnet ones"):
        reference.write_authors_weights(Path("checkpoints"), Path("theirs"))
    assert not Path("theirs").exists()


def test_weights_of_another_network_are_refused_by_name(ours):
    theirs = reference.to_authors_layout("generator_mask", ours["generator_mask"].state_dict(), BLOCKS)
    with_dropout = {key.replace("conv_block.5", "conv_block.6"): value for key, value in theirs.items()}
    with pytest.raises(FacemaskError, match=r"latest_net_G_A.pth is no generator_mask .*conv_block"):
        reference.from_authors_layout("generator_mask", with_dropout)


@pytest.mark.parametrize("content", [b"", b"<html>no such file</html>", json.dumps({}).encode()])
def test_a_file_that_holds_no_weights_is_told_in_one_line(content):
    Path("theirs").mkdir()
    for file in reference.FILES.values():
        (Path("theirs") / file).write_bytes(content)
    with pytest.raises(FacemaskError, match=r"latest_net_G_A.pth cannot be read as weights") as caught:
        reference.read_authors_weights(Path("theirs"), Path("back"))
    assert "\n" not in str(caught.value)
    assert not Path("back").exists()
