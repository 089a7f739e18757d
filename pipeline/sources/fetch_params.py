"""params.yaml, block `fetch`: for stage `fetch` and the flow `watch`."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.params import STRICT
from pipeline.synthetic.layout import SampleParams


@dataclass(frozen=True, config=STRICT)
class FetchParams:
    """How the sources' files are fetched."""

    archive_images: Annotated[int, Field(ge=1, le=10_000)]  # in a shard, at most
    mirror: str | None  # a folder or URL that has the public data sets
    sample: SampleParams
