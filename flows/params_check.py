"""params.yaml, checked whole before the first stage: a typo in the block of the last one must not cost a night."""

from pathlib import Path
from typing import Any

from pipeline.errors import FacemaskError
from pipeline.params import build, parse
from pipeline.paths import Paths


def check_params(workspace: Path) -> None:
    """Raises FacemaskError, naming every key at fault, for blocks of params.yaml that their stages would refuse."""
    from flows.handoff.job import HandoffParams
    from models.params import EvaluateParams, RetrainParams, train_params
    from pipeline.curation.measure_params import MeasureParams
    from pipeline.curation.rules import CurateParams
    from pipeline.sources.fetch_params import FetchParams
    from pipeline.storage.pack_params import PackParams

    shapes: dict[str, type[Any]] = {
        "fetch": FetchParams,
        "measure": MeasureParams,
        "curate": CurateParams,
        "pack": PackParams,
        "retrain": RetrainParams,
        "evaluate": EvaluateParams,
        "handoff": HandoffParams,
    }
    path = Paths(workspace).params
    blocks = parse(path)
    problems = []
    for name in blocks if isinstance(blocks, dict) else ():  # a missing block is its own stage's to report
        try:
            if name == "train":
                train_params(path, workspace / "experiments")
            elif name in shapes:
                build(name, blocks[name], shapes[name], path)
        except FacemaskError as error:
            problems.append(str(error).removesuffix(": correct it, then run again"))
    if problems:
        raise FacemaskError(f"{'; '.join(problems)}: correct it, then run again")
