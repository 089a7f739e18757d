"""The blocks `train`, `evaluate` and `retrain` of params.yaml; the comments there give each key's unit and reason."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.errors import FacemaskError
from pipeline.params import PARAMS_FILE, STRICT, build, parse, read

START_NAME = "start.json"
"""The file in data/start in which stage `start` names the model whose weights training starts from."""

PRESETS = Path("experiments")

Direction = Literal["mask", "unmask"]
MethodName = Literal["guided", "cyclegan", "simgan", "pix2pix", "fastgan"]
"""The training methods; models/methods/ has one file for each."""
GeneratorKind = Literal["guided", "resnet", "painter", "fastgan"]
"""The generators' architectures (models.networks, models.face_networks)."""
AdversarialLoss = Literal["lsgan", "vanilla"]


@dataclass(frozen=True, config=STRICT)
class GuidedParams:
    """The block `train.guided`: keys of this method only."""

    lambda_drawing: Annotated[float, Field(ge=0, le=1000)]


@dataclass(frozen=True, config=STRICT)
class CycleganParams:
    """The block `train.cyclegan`: this method has only the common keys."""


@dataclass(frozen=True, config=STRICT)
class SimganParams:
    """The block `train.simgan`: keys of this method only."""

    lambda_drawing: Annotated[float, Field(ge=0, le=1000)]
    refiner_images: Annotated[int, Field(ge=0)]
    discriminator_images: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Pix2pixParams:
    """The block `train.pix2pix`: keys of this method only."""

    pairs: Literal[True, "rendered", "both"]  # true in YAML is a boolean
    lambda_l1: Annotated[float, Field(ge=0, le=1000)]
    lambda_matte: Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, config=STRICT)
class FastganParams:
    """The block `train.fastgan`: keys of this method only."""

    lambda_matte: Annotated[float, Field(ge=0, le=100)]
    lambda_reconstruction: Annotated[float, Field(ge=0, le=100)]
    average_images: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class TrainParams:
    """The block `train`, with the values of its preset. Keys of one method only are in a block of its name."""

    preset: str  # a file of experiments/
    method: MethodName
    loss: AdversarialLoss
    image_px: Annotated[int, Field(ge=32, le=1024, multiple_of=4)]
    images_per_domain: Annotated[int, Field(ge=1)]
    minutes: Annotated[float, Field(gt=0)] | None
    batch_size: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=256)]
    blocks: Annotated[int, Field(ge=1, le=20)]
    discriminator_width: Annotated[int, Field(ge=4, le=256)]
    learning_rate: Annotated[float, Field(gt=0, le=0.1)]
    schedule: Literal["linear", "plateau"]
    lambda_cycle: Annotated[float, Field(ge=0, le=100)]
    lambda_identity: Annotated[float, Field(ge=0, le=10)]
    pool_size: Annotated[int, Field(ge=0, le=1000)]
    save_every_images: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["auto"] | bool
    deterministic: bool
    guided: GuidedParams
    cyclegan: CycleganParams
    simgan: SimganParams
    pix2pix: Pix2pixParams
    fastgan: FastganParams


@dataclass(frozen=True, config=STRICT)
class EvaluateParams:
    """The block `evaluate`."""

    images: Annotated[int, Field(ge=1)]  # test faces of each domain
    batch_size: Annotated[int, Field(ge=1, le=256)]
    grid_faces: Annotated[int, Field(ge=1, le=32)]


@dataclass(frozen=True, config=STRICT)
class RetrainParams:
    """The block `retrain`."""

    warm_start: bool
    tolerance: Annotated[float, Field(ge=0, le=1)]


def values_used(params: TrainParams) -> dict[str, Any]:
    """The values that a training depends on: the block `train` without the blocks of other methods."""
    others = set(get_args(MethodName)) - {params.method}
    return {key: value for key, value in asdict(params).items() if key not in others}


def train_params(path: Path = PARAMS_FILE, presets: Path = PRESETS) -> TrainParams:
    """Read the block `train` of params.yaml, with the values of the preset that it names.

    Raises FacemaskError, naming file and key, for an unknown preset, a preset of another method, and invalid values.
    """
    values = build("train", read(path, "train"), dict[str, Any], path)
    if "preset" not in values:
        return build("train", values, TrainParams, path)
    preset_path = presets / f"{values['preset']}.yaml"
    if not preset_path.is_file():
        known = ", ".join(sorted(file.stem for file in presets.glob("*.yaml")))
        raise FacemaskError(f"there is no preset {preset_path}: set train.preset in {path} to one of {known or 'none'}")
    preset = build("train", parse(preset_path), dict[str, Any], preset_path)
    # DVC reads train.method from params.yaml only: by it dvc.yaml names the method's file as a dependency.
    if "method" in preset and preset["method"] != values.get("method"):
        raise FacemaskError(
            f"{preset_path} is for method {preset['method']}, but train.method in {path} is {values.get('method')}: "
            f"set it to {preset['method']}"
        )
    return build("train", values | preset, TrainParams, preset_path if preset else path)
