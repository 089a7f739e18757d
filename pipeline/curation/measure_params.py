"""params.yaml, block `measure`: for stage `measure`, `facemask curate` and the evaluation of generated faces."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.params import STRICT


@dataclass(frozen=True, config=STRICT)
class MeasureParams:
    """How faces are measured, and where."""

    max_faces: Annotated[int, Field(ge=2, le=16)]
    decode_px: Annotated[int, Field(ge=128, le=4096)]
    executor: Literal["processes", "dask"]
    address: str | None  # of Dask's scheduler
    archives: str | None  # where Dask's workers read data/raw, an address that fsspec opens; None: the same path
