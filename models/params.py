"""The params.yaml blocks `train`, `evaluate` and `retrain`; comments there give each key's unit and reason."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.params import STRICT

START_NAME = "start.json"
"""The file in data/start by which stage `start` tells stage `train` what it put there."""


@dataclass(frozen=True, config=STRICT)
class TrainParams:
    generator: Literal["guided", "resnet"]
    image_px: Annotated[int, Field(ge=32, le=1024, multiple_of=4)]
    images: Annotated[int, Field(ge=1)]  # a domain
    batch_size: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=256)]
    blocks: Annotated[int, Field(ge=1, le=20)]
    discriminator_width: Annotated[int, Field(ge=4, le=256)]
    learning_rate: Annotated[float, Field(gt=0, le=0.1)]
    lambda_cycle: Annotated[float, Field(ge=0, le=100)]
    lambda_identity: Annotated[float, Field(ge=0, le=10)]
    lambda_matte: Annotated[float, Field(ge=0, le=100)]
    pool_size: Annotated[int, Field(ge=0, le=1000)]
    save_every_images: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class EvaluateParams:
    images: Annotated[int, Field(ge=1)]  # a domain
    batch_size: Annotated[int, Field(ge=1, le=256)]
    grid_faces: Annotated[int, Field(ge=1, le=32)]


@dataclass(frozen=True, config=STRICT)
class RetrainParams:
    warm_start: bool
    tolerance: Annotated[float, Field(ge=0, le=1)]
