"""One stage, as dvc.yaml calls it: `python -m pipeline fetch SOURCE`, `python -m pipeline curate`, ..."""

import argparse

from pipeline import errors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    for name in ("fetch", "measure"):
        stages.add_parser(name).add_argument("source", help="a name of params.yaml's block sources")
    for name in ("curate", "pack", "report"):
        stages.add_parser(name)
    args = parser.parse_args()

    # Imported one by one: a stage that draws no landmark need not load MediaPipe.
    match args.stage:
        case "fetch":
            from pipeline.stages.fetch import fetch

            fetch(args.source)
        case "measure":
            from pipeline.stages.measure import measure

            measure(args.source)
        case "curate":
            from pipeline.stages.curate import curate

            curate()
        case "pack":
            from pipeline.stages.pack import pack

            pack()
        case "report":
            from pipeline.stages.report import report

            report()


if __name__ == "__main__":
    errors.run(main)
