"""Our networks compared with the paper's, written here again with the layer names of the authors' files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.export import authors_weights
from models.methods.cyclegan import make_networks
from models.training import checkpoint
from models.training.loop import train
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
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
    return replace(TINY, method="cyclegan", width=WIDTH, blocks=BLOCKS, discriminator_width=WIDTH)


@pytest.fixture
def ours(params):
    return make_networks(params)


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("name", authors_weights.FILES)
def test_converted_weights_give_the_same_output_in_the_papers_network(name, ours, images):
    theirs = paper_generator() if name in checkpoint.GENERATORS else paper_discriminator()
    theirs.load_state_dict(authors_weights.to_authors_layout(name, ours[name].state_dict(), BLOCKS))
    with torch.inference_mode():
        output = ours[name](images, images[:, :1])[0] if name in checkpoint.GENERATORS else ours[name](images)
        assert (output - theirs(images)).abs().max() < 1e-5


@pytest.mark.parametrize("name", authors_weights.FILES)
def test_conversion_to_their_names_and_back_keeps_the_weights(name, ours):
    weights = ours[name].state_dict()
    back = authors_weights.from_authors_layout(name, authors_weights.to_authors_layout(name, weights, BLOCKS))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_names_of_dataparallel_and_old_statistics_are_converted(ours):
    theirs = authors_weights.to_authors_layout("generator_mask", ours["generator_mask"].state_dict(), BLOCKS)
    old = {f"module.{key}": value for key, value in theirs.items()} | {
        "module.model.2.running_mean": torch.zeros(WIDTH)
    }
    assert (
        authors_weights.from_authors_layout("generator_mask", old).keys() == ours["generator_mask"].state_dict().keys()
    )


def test_a_checkpoint_converted_to_files_and_back_has_the_same_weights(pack, params):
    train(params, Paths())
    authors_weights.write_authors_weights(Path("checkpoints"), Path("theirs"))
    assert sorted(path.name for path in Path("theirs").iterdir()) == sorted(authors_weights.FILES.values())
    authors_weights.read_authors_weights(Path("theirs"), Path("back"))
    one, _ = checkpoint.load_generators(Path("checkpoints"))
    other, info = checkpoint.load_generators(Path("back"))
    assert not checkpoint.other_networks(info, params)
    for name in checkpoint.GENERATORS:
        pairs = zip(one[name].parameters(), other[name].parameters(), strict=True)
        assert all(torch.equal(left, right) for left, right in pairs)


def test_a_guided_checkpoint_is_refused(pack):
    train(TINY, Paths())
    with pytest.raises(FacemaskError, match="are guided: only those of method cyclegan"):
        authors_weights.write_authors_weights(Path("checkpoints"), Path("theirs"))
    assert not Path("theirs").exists()


def test_weights_of_another_network_are_refused_with_the_layer_name(ours):
    theirs = authors_weights.to_authors_layout("generator_mask", ours["generator_mask"].state_dict(), BLOCKS)
    with_dropout = {key.replace("conv_block.5", "conv_block.6"): value for key, value in theirs.items()}
    with pytest.raises(FacemaskError, match=r"latest_net_G_A.pth is not a generator_mask .*conv_block"):
        authors_weights.from_authors_layout("generator_mask", with_dropout)


@pytest.mark.parametrize("content", [b"", b"<html>no such file</html>", json.dumps({}).encode()])
def test_a_file_without_weights_is_a_one_line_error(content):
    Path("theirs").mkdir()
    for file in authors_weights.FILES.values():
        (Path("theirs") / file).write_bytes(content)
    with pytest.raises(FacemaskError, match=r"latest_net_G_A.pth cannot be read as weights") as caught:
        authors_weights.read_authors_weights(Path("theirs"), Path("back"))
    assert "\n" not in str(caught.value)
    assert not Path("back").exists()


def write_authors_files(folder, networks, prefix=""):
    """The four files of the authors' code, with `prefix` before every name."""
    folder.mkdir()
    for name, file in authors_weights.FILES.items():
        theirs = authors_weights.to_authors_layout(name, networks[name].state_dict(), BLOCKS)
        torch.save({f"{prefix}{key}": value for key, value in theirs.items()}, folder / file)


def test_files_saved_from_dataparallel_become_a_checkpoint(ours):
    write_authors_files(Path("theirs"), ours, prefix="module.")
    authors_weights.read_authors_weights(Path("theirs"), Path("converted"))
    generators, info = checkpoint.load_generators(Path("converted"))
    assert (info.params["width"], info.params["blocks"], info.params["discriminator_width"]) == (WIDTH, BLOCKS, WIDTH)
    for name in checkpoint.GENERATORS:
        pairs = zip(generators[name].parameters(), ours[name].parameters(), strict=True)
        assert all(torch.equal(left, right) for left, right in pairs)


def test_a_file_without_the_first_layer_is_a_one_line_error(ours):
    write_authors_files(Path("theirs"), ours)
    path = Path("theirs") / authors_weights.FILES["generator_mask"]
    weights = torch.load(path, weights_only=True)
    del weights["model.1.bias"]
    torch.save(weights, path)
    with pytest.raises(FacemaskError, match=r"model\.1\.bias is missing or unexpected"):
        authors_weights.read_authors_weights(Path("theirs"), Path("converted"))
    assert not Path("converted").exists()
