"""params.yaml, block `pack`."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.params import STRICT


@dataclass(frozen=True, config=STRICT)
class PackParams:
    """What the packed images look like."""

    load_px: Annotated[int, Field(ge=32, le=1024)]  # their side
