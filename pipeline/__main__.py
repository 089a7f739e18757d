"""One stage, as dvc.yaml calls it: `python -m pipeline fetch SOURCE`, `python -m pipeline curate`, ..."""

import argparse
from pathlib import Path

from pipeline import command, params
from pipeline.experiments import refuse_incomplete_copy
from pipeline.paths import Paths


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    for name in ("fetch", "measure"):
        stages.add_parser(name).add_argument("source", help="a name of params.yaml's block sources")
    for name in ("curate", "pack", "report"):
        stages.add_parser(name)
    args = parser.parse_args()
    refuse_incomplete_copy(args.stage, Path.cwd())

    # Imported one by one: a stage that draws no landmark need not load MediaPipe.
    match args.stage:
        case "fetch":
            from pipeline.sources.config import load_source
            from pipeline.sources.fetch_params import FetchParams
            from pipeline.stages.fetch import fetch

            fetch(args.source, load_source(args.source), params.load("fetch", FetchParams), Paths())
        case "measure":
            from pipeline.curation.measure_params import MeasureParams
            from pipeline.stages.measure import measure

            measure(args.source, params.load("measure", MeasureParams), Paths())
        case "curate":
            from pipeline.curation.rules import CurateParams
            from pipeline.sources.config import load_sources
            from pipeline.stages.curate import curate

            curate(params.load("curate", CurateParams), load_sources(), Paths())
        case "pack":
            from pipeline.stages.pack import pack
            from pipeline.storage.pack_params import PackParams

            pack(params.load("pack", PackParams), Paths())
        case "report":
            from pipeline.curation.rules import CurateParams
            from pipeline.stages.report import report

            report(params.load("curate", CurateParams), Paths())


if __name__ == "__main__":
    command.run(main)
