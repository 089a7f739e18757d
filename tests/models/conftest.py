"""Packed random images, parameters of networks that train within a second, and checkpoints."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.methods.method import METHODS, load_method
from models.networks import FaceCorrector
from models.params import (
    CycleganParams,
    FastganParams,
    GuidedParams,
    Pix2pixParams,
    SimganParams,
    TrainParams,
    values_used,
)
from models.training import checkpoint
from models.training.device import training_device
from models.training.loop import train
from models.training.optimisers import fresh_state
from pipeline.masks.mask_set import NAME as MASKS
from pipeline.masks.mask_set import LiftedMask, worn_fit, write_masks
from pipeline.masks.records import MaskDesign
from pipeline.paths import Paths
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import sha256

LOAD_PX = 36
FACE = np.loadtxt(Path(__file__).with_name("landmarks.txt"), np.float32)
"""Landmarks (478, 2) of a face, shares of FFHQ's frame: those of the sample's public-domain portrait `astronaut`."""
LOWER_HALF = np.repeat(np.arange(LOAD_PX)[:, None] > LOAD_PX // 2, LOAD_PX, axis=1)
"""Where the masks of the packed images are."""
BLUE = (12, 12, 243)
GREY = (127.5, 127.5, 127.5)
TINY = TrainParams(
    preset="none",
    method="guided",
    loss="lsgan",
    image_px=32,
    images_per_domain=12,
    minutes=None,
    batch_size=2,
    width=4,
    blocks=1,
    discriminator_width=4,
    learning_rate=2e-4,
    schedule="linear",
    lambda_cycle=10.0,
    lambda_identity=0.5,
    pool_size=3,
    save_every_images=4,
    seed=5,
    precision="auto",
    compile=False,
    deterministic=False,
    guided=GuidedParams(lambda_drawing=5.0),
    cyclegan=CycleganParams(),
    simgan=SimganParams(lambda_drawing=0.1, refiner_images=2, discriminator_images=2),
    pix2pix=Pix2pixParams(pairs="both", lambda_l1=100.0, lambda_matte=1.0),
    fastgan=FastganParams(
        lambda_matte=1,
        lambda_reconstruction=1,
        average_images=20,
    ),
)


def write_checkpoint(folder, params=TINY, colour=BLUE):
    """Write a checkpoint of generators that paint one colour, with mattes that depend on the region only.

    The guided ones cannot paint: one gives the drawn mask, the other the drawn bare face with a shift of its colours by
    0.6 times `colour` as it is in [-1, 1]; GREY is no shift, as before training.
    """
    method = load_method(params.method)
    state = fresh_state(method.make_networks(params), params, training_device(params))
    for painter in state.networks.values():
        if not (hasattr(painter, "paint") or isinstance(painter, FaceCorrector)):
            continue
        last = [layer for layer in painter.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
        torch.nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias[:3] = torch.atanh(torch.tensor(colour) / 127.5 - 1)

    def describe(digests):
        return checkpoint.CheckpointInfo(
            checkpoint.SCHEMA, 8, method.generator, values_used(params), "p" * 64, digests, {}, "its own"
        )

    checkpoint.save(folder, state, describe)
    return folder


def with_masks(folder, masks):
    """Add the masks of a training set to the checkpoint in `folder`."""
    write_masks(folder / MASKS, masks)
    values = json.loads((folder / checkpoint.JSON_NAME).read_text())
    values["masks_sha256"] = sha256(folder / MASKS)
    (folder / checkpoint.JSON_NAME).write_text(json.dumps(values))
    return folder


def write_start(folder=Path("data/start")):
    """Write what stage `start` writes without a model to start from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "start.json").write_text('{"model": null, "checkpoint": null}')


def train_in(root, params):
    """Train in the workspace `root` on the packed images and the start of the current folder; returns its Paths.

    A finished training is forgotten, so that the next one with the same parameters does train.
    """
    root = Path(root)
    root.mkdir(exist_ok=True)
    if not (root / "data").exists():
        (root / "data").symlink_to(Path("data").absolute())
    train(params, Paths(root))
    for finished in Paths(root).work("train").glob("*/finished"):
        shutil.rmtree(finished.parent)
    return Paths(root)


def plain_mask(colour):
    """A mask of one colour, as if lifted off a photo."""
    drawing = np.full((144, 208, 4), (*colour, 1), np.float32)
    return LiftedMask(MaskDesign(drawing, "loops", np.full(3, 220, np.float32)), worn_fit(0.8, 0.95), 150)


def write_pack(folder, counts, seed=0):
    """Write packed images of noise, with landmarks near FACE. counts: set name -> images; other sets are empty."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images = {}
    for domain in packed.DOMAINS:
        for split in packed.SPLITS:
            name = packed.set_name(domain, split)
            images[name] = count = counts.get(name, 0)
            to_images, to_landmarks, to_faces = packed.array_paths(folder, name)
            np.save(to_images, rng.integers(0, 256, (count, LOAD_PX, LOAD_PX, 3), np.uint8))
            np.save(to_landmarks, FACE + rng.normal(0, 0.02, (count, 1, 2)).astype(np.float32))
            if domain == "masked":
                np.save(packed.areas_path(folder, name), np.repeat(packed.packed_area(LOWER_HALF)[None], count, 0))
            image_ids = [f"{name}/{place}" for place in range(count)]
            packed.write_faces(to_faces, image_ids, [None] * count, [0.0] * count)
    write_masks(folder / MASKS, [plain_mask(BLUE)])
    packed.write_info(folder, packed.PackInfo(packed.SCHEMA, LOAD_PX, "m" * 64, images, "CC BY-NC-SA 4.0"))
    return folder


@pytest.fixture
def pack(tmp_path):
    counts = {"unmasked_train": 5, "masked_train": 7, "unmasked_test": 3, "masked_test": 2}
    write_start(tmp_path / "data" / "start")
    return write_pack(tmp_path / "data" / "train", counts)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder outside any git repository, with a separate work folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEMASK_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


@pytest.fixture(params=["guided", "cyclegan"])
def tiny(request):
    return replace(TINY, method=request.param)


@pytest.fixture(params=METHODS)
def any_method(request):
    return replace(TINY, method=request.param)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
