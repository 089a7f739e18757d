"""Converts weights to the file layout of the CycleGAN authors' public implementation, and back.

    python -m models.export.authors_weights to CHECKPOINT FOLDER       a checkpoint -> latest_net_G_A.pth, G_B, D_A, D_B
    python -m models.export.authors_weights from FOLDER CHECKPOINT     these files -> a checkpoint for `load_generators`

Stage `evaluate` refuses the second, because it is unknown which faces were used in its training.

Their domain A is the unmasked faces, B the masked ones: G_A puts a mask on, G_B takes it off, D_A discriminates masked
faces and D_B unmasked ones. Only the paper's networks (`train.method: cyclegan`, without dropout) can be converted.

In their layout each network is one Sequential `model`, in which reflection padding counts as a layer; a residual block
contains a Sequential `conv_block`; instance norm has no weights.
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
from models.training.checkpoint_json import check_architecture
from models.training.state_files import weights_name
from pipeline.command import run
from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing_folder, sha256, write_json

FILES = {
    "generator_mask": "latest_net_G_A.pth",
    "generator_unmask": "latest_net_G_B.pth",
    "discriminator_masked": "latest_net_D_A.pth",
    "discriminator_unmasked": "latest_net_D_B.pth",
}
Weights = Mapping[str, Tensor]


def convolutions(network: str, blocks: int) -> dict[str, str]:
    """The name of every convolution in our network -> its name in theirs."""
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
    """Our state dict of one of the four networks, with their names."""
    names = convolutions(network, blocks)
    return {
        f"{theirs}.{part}": weights[f"{ours}.{part}"] for ours, theirs in names.items() for part in ("weight", "bias")
    }


def from_authors_layout(network: str, weights: Weights) -> dict[str, Tensor]:
    """Their state dict of one of the four networks, with our names. Raises FacemaskError for that of another network.

    Statistics that older versions of their code saved with instance norm are left out, because nothing reads them.
    """
    theirs = {
        name.removeprefix("module."): value  # the prefix that DataParallel adds
        for name, value in weights.items()
        if name.endswith((".weight", ".bias"))
    }
    blocks = len({name.split(".")[1] for name in theirs if ".conv_block." in name})
    names = convolutions(network, blocks)
    parts = {f"{theirs_}.{part}": f"{ours}.{part}" for ours, theirs_ in names.items() for part in ("weight", "bias")}
    if parts.keys() != theirs.keys():
        differing = ", ".join(sorted(parts.keys() ^ theirs.keys())[:3])
        raise FacemaskError(
            f"{FILES[network]} is not a {network} of the CycleGAN authors' code (resnet, instance norm, no dropout): "
            f"{differing} is missing or unexpected"
        )
    return {parts[name]: value for name, value in theirs.items()}


def write_authors_weights(checkpoint: Path, folder: Path) -> None:
    """Write the four files into `folder`, which then exists whole or not at all.

    Raises FacemaskError if the checkpoint is of another method, or `folder` is not empty.
    """
    info = read_info(checkpoint)
    if info.generator != "resnet":
        raise FacemaskError(
            f"the generators in {checkpoint} are {info.generator}: only those of method cyclegan can be converted"
        )
    _refuse_filled(folder)
    with replacing_folder(folder) as made:
        for network, file in FILES.items():
            weights = load_file(checkpoint / weights_name(network))
            torch.save(to_authors_layout(network, weights, info.params["blocks"]), made / file)


def read_authors_weights(folder: Path, checkpoint: Path) -> None:
    """Write a checkpoint from the four files: the weights and their description, without the optimizers' state.

    Raises FacemaskError if a file does not hold the weights of its network, or `checkpoint` is not empty.
    """
    _refuse_filled(checkpoint)
    networks = {network: from_authors_layout(network, _load(folder / file)) for network, file in FILES.items()}
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "images_seen": 0,
        "generator": "resnet",
        "params": _architecture(networks),
        "pack_sha256": "",
        "losses": {},
        "data_licence": "unknown: trained elsewhere",
    }
    check_architecture(values["params"], folder)
    with replacing_folder(checkpoint) as made:
        digests = {}
        for network, weights in networks.items():
            path = made / weights_name(network)
            save_file({name: value.contiguous() for name, value in weights.items()}, path)
            path.chmod(0o644)  # safetensors makes files that only their owner may read
            digests[network] = sha256(path)
        write_json(made / JSON_NAME, values | {"weights_sha256": digests})


def _architecture(networks: Mapping[str, Weights]) -> dict[str, str | int]:
    """The keys of `train` that describe networks with our names."""
    generator = networks["generator_mask"]
    return {
        "method": "cyclegan",
        "image_px": 256,  # their default; the files do not contain it
        "width": generator["layers.0.bias"].numel(),
        "blocks": len({name.split(".")[1] for name in generator if name.count("layers.") == 2}),
        "discriminator_width": networks["discriminator_masked"]["layers.0.bias"].numel(),
    }


def _load(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of theirs; no code in the file is run."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0] or "it is empty"
        raise FacemaskError(f"{path} cannot be read as weights: {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise FacemaskError(f"{path} does not contain a state dict: the CycleGAN authors' code did not write it")
    return weights


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise FacemaskError(f"{folder} is not empty: name a new folder")


def main() -> None:
    """Convert weights in the direction that the command line names."""
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
