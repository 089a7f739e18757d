"""`facemask survey`: people vote which test faces are real and which are fakes of a method."""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.evaluation.survey_pictures import drawing_method, open_method, refuse_same_names, survey_pictures
from models.params import EvaluateParams
from models.training.checkpoint_info import read_info
from pipeline.params import load
from pipeline.paths import Paths
from pipeline.report.survey.result import result_lines, write_result
from pipeline.report.survey.server import Survey, serve_survey
from pipeline.storage.files import sha256


def survey(folders: Sequence[Path | None], count: int, seed: int, port: int) -> None:
    """Serve a survey of the checkpoints in `folders`, None for drawing alone, until Ctrl-C.

    `count`: made pictures of each method, half of them with a mask, half without. Raises FacemaskError where there are
    no packed test faces, too few, or a checkpoint cannot be read.
    """
    paths = Paths()
    methods = [drawing_method() if folder is None else open_method(folder) for folder in folders]
    refuse_same_names(methods)
    pictures = survey_pictures(methods, load("evaluate", EvaluateParams), paths, max(1, count // 2), seed)
    _warn_of_other_packs([folder for folder in folders if folder], paths.pack)
    serve_survey(Survey(pictures, seed, paths.survey, paths.survey_result), port)


def print_result() -> None:
    """Print the result of all votes, and write it to data/survey.json; used after merging votes of others."""
    result = write_result(Paths().survey, Paths().survey_result)
    print("\n".join(f"facemask: {line}" for line in result_lines(result)), flush=True)


def _warn_of_other_packs(folders: Sequence[Path], pack: Path) -> None:
    """Print a warning for each checkpoint that may have been trained on today's test faces."""
    digest = sha256(pack / "pack.json")
    for folder in folders:
        if read_info(folder).pack_sha256 != digest:
            print(
                f"facemask: warning: {folder} was trained on other packed images: "
                "it may have seen some of these test faces in training",
                file=sys.stderr,
                flush=True,
            )
