"""Weights in the file layout of the CycleGAN authors' public implementation, and back.

    python -m models.export.authors_weights to CHECKPOINT FOLDER       latest_net_G_A.pth, G_B, D_A, D_B out of a checkpoint of ours
    python -m models.export.authors_weights from FOLDER CHECKPOINT     a checkpoint that `load_generators` reads

Stage `evaluate` refuses the second: nobody knows which faces its training saw.

Their domain A are plain faces here, B masked ones: G_A puts a mask on, G_B takes it off, D_A judges masked faces and
D_B plain ones. Only the plain CycleGAN (`generator: resnet`, without dropout) has a counterpart there.

In their layout each network is one Sequential `model`, in which reflection padding counts as a layer of its own; a
residual block holds a Sequential `conv_block`; instance norm has no weights.
"""

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.training.checkpoint import GENERATORS, JSON_NAME, SCHEMA, read_info
from pipeline.errors import FacemaskError, run
from pipeline.storage.files import replacing_folder, sha256, write_json

FILES = {
    "generator_mask": "latest_net_G_A.pth",
    "generator_unmask": "latest_net_G_B.pth",
    "discriminator_masked": "latest_net_D_A.pth",
    "discriminator_unmasked": "latest_net_D_B.pth",
}
Weights = Mapping[str, Tensor]


def convolutions(network: str, blocks: int) -> dict[str, str]:
    """Every convolution's name in our networks -> its name in theirs."""
    if network not in GENERATORS:
        return {f"layers.{number}": f"model.{number}" for number in (0, 2, 5, 8, 11)}
    names = {"layers.0": "model.1", "layers.3": "model.4", "layers.6": "model.7"}
    for block in range(blocks):
        for ours, theirs in ((0, 1), (3, 5)):
            names[f"layers.{9 + block}.layers.{ours}"] = f"model.{10 + block}.conv_block.{theirs}"
    for ours, theirs in ((9, 10), (12, 13), (15, 17)):
        names[f"layers.{ours + blocks}"] = f"model.{theirs + blocks}"
    return names


def to_authors_layout(network: str, weights: Weights, blocks: int) -> dict[str, Tensor]:
    """Our state dict of one of the four networks -> theirs; the tensors stay what they are."""
    names = convolutions(network, blocks)
    return {
        f"{theirs}.{part}": weights[f"{ours}.{part}"] for ours, theirs in names.items() for part in ("weight", "bias")
    }


def from_authors_layout(network: str, weights: Weights) -> dict[str, Tensor]:
    """Theirs -> ours. Raises FacemaskError for a state dict of another network.

    Statistics that older versions of theirs saved with instance norm are left out: nothing reads them.
    """
    theirs = {
        name.removeprefix("module."): value  # saved out of DataParallel
        for name, value in weights.items()
        if name.endswith((".weight", ".bias"))
    }
    names = convolutions(network, _blocks(theirs))
    parts = {f"{theirs_}.{part}": f"{ours}.{part}" for ours, theirs_ in names.items() for part in ("weight", "bias")}
    if parts.keys() != theirs.keys():
        odd = ", ".join(sorted(parts.keys() ^ theirs.keys())[:3])
        raise FacemaskError(
            f"{FILES[network]} is no {network} of the CycleGAN authors' networks (resnet, instance norm, no dropout): "
            f"{odd} is there in only one of them"
        )
    return {parts[name]: value for name, value in theirs.items()}


def _blocks(theirs: Weights) -> int:
    return len({name.split(".")[1] for name in theirs if ".conv_block." in name})


def write_authors_weights(checkpoint: Path, folder: Path) -> None:
    """Write the four files into `folder`, which is there whole or not at all."""
    info = read_info(checkpoint)
    if info.params["generator"] != "resnet":
        raise FacemaskError(
            f"the generators in {checkpoint} are {info.params['generator']}: only resnet ones have a counterpart there"
        )
    _refuse_filled(folder)
    with replacing_folder(folder) as made:
        for network, file in FILES.items():
            weights = load_file(checkpoint / f"{network}.safetensors")
            torch.save(to_authors_layout(network, weights, info.params["blocks"]), made / file)


def read_authors_weights(folder: Path, checkpoint: Path) -> None:
    """Write a checkpoint out of the four files: weights and their description, without optimisers' state."""
    _refuse_filled(checkpoint)
    found = {network: _weights(folder / file) for network, file in FILES.items()}
    params = {
        "generator": "resnet",
        "image_px": 256,  # theirs, unless told otherwise; their files do not say
        "width": len(found["generator_mask"]["model.1.bias"]),
        "blocks": _blocks(found["generator_mask"]),
        "discriminator_width": len(found["discriminator_masked"]["model.0.bias"]),
    }
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "images_seen": 0,
        "params": params,
        "pack_sha256": "",
        "losses": {},
        "data_licence": "unknown: made elsewhere",
    }
    with replacing_folder(checkpoint) as made:
        digests = {}
        for network, theirs in found.items():
            path = made / f"{network}.safetensors"
            save_file({name: value.contiguous() for name, value in from_authors_layout(network, theirs).items()}, path)
            path.chmod(0o644)  # safetensors makes files that only their owner may read
            digests[network] = sha256(path)
        write_json(made / JSON_NAME, values | {"weights_sha256": digests})


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0] or "it is empty"
        raise FacemaskError(f"{path} cannot be read as weights: {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise FacemaskError(f"{path} holds no state dict: it is no file of the CycleGAN authors' implementation")
    return weights


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise FacemaskError(f"{folder} is not empty: name a new folder")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.export.authors_weights",
        description="Convert weights to the CycleGAN authors' file layout, or from it.",
    )
    parser.add_argument("direction", choices=("to", "from"))
    parser.add_argument("source", type=Path, metavar="FROM")
    parser.add_argument("target", type=Path, metavar="TO")
    options = parser.parse_args()
    convert = write_authors_weights if options.direction == "to" else read_authors_weights
    convert(options.source, options.target)
    print(f"facemask: written to {options.target}")


if __name__ == "__main__":
    run(main)
