"""Do drawings and fakes help a classifier "is this mask worn correctly?" that has few real images?

    python -m benchmarks.downstream FACES PHOTOS [CHECKPOINT...] [--pack DIR]

FACES has labels.csv (path, source, ffhq_id, kind) and faces with masks worn correctly and wrongly; PHOTOS has
with_mask/ and without_mask/. A classifier is trained on real images of either folder: bare faces, and 0 to 100 with
masks; and again on the same ones with drawings, or with fakes of each checkpoint, made of the bare training faces. It
is tested on faces of other persons from both folders. Where the checkpoints were trained on persons of FACES, name
their pack: only persons on whom it does not train are tested. Beside them: curation's rules, whose network learned
from drawings alone, with the limits in ./params.yaml. Prints a table, and JSON last.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.downstream_classifier import Examples, Flags, Floats, joined, train
from benchmarks.downstream_faces import (
    BARE,
    CORRECT,
    LabelledFaces,
    draw_fakes,
    draw_varied_fakes,
    face_features,
    make_fakes,
    person,
    read_labelled,
    read_photos,
)
from models.evaluation.bootstrap import percentile_interval, resamples
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.params import load
from pipeline.storage.packed_arrays import DOMAINS, read_set

MASKED_IMAGES = (0, 20, 50, 100)
"""Real images with correctly worn masks, and as many with wrongly worn ones where the folder has some."""
BARE_IMAGES = 100  # faces without a mask are easy to have
ADDED = 200  # fakes with a correctly worn mask, and as many with a wrongly worn one
REAL, DRAWN, VARIED, RULES = "real only", "drawings", "varied drawings", "curation's rules"
_TEST_SHARE = 0.4  # of the persons of a folder that the pack does not know


@dataclass(frozen=True)
class Folder:
    """A folder's real faces, and what was made of its bare training faces."""

    train: Examples
    test: Examples
    added: dict[str, Examples]  # by the name of what made them
    accepted: Flags | None = None  # (N,) whether curation's rules accept the mask of each test face


@dataclass(frozen=True)
class Trial:
    """How the test faces of a folder were classified, in each repeat."""

    scores: Floats  # (R, N)
    correct: Flags  # (N,)
    persons: NDArray[np.int64]  # (N,)


def persons_to_test(persons: NDArray[np.int64], pack: Path | None) -> NDArray[np.int64]:
    """Those on whom the pack does not train, or without a pack some at random."""
    known = np.unique(persons)
    if pack is None:
        return np.random.default_rng(0).permutation(known)[: round(_TEST_SHARE * len(known))]
    sets = [read_set(pack, domain, split) for domain in DOMAINS for split in ("train", "val")]
    return np.setdiff1d(known, [person(found) for packed in sets for found in packed.ffhq_ids if found is not None])


def make_folder(faces: LabelledFaces, tested: NDArray[np.int64], checkpoints: list[Path]) -> Folder:
    """A folder's examples. Fakes are made of the bare faces of persons that are not tested."""
    in_test = np.isin(faces.persons, tested)
    bare = faces.at(~in_test & (faces.kinds == BARE))
    made = {DRAWN: draw_fakes(bare), VARIED: draw_varied_fakes(bare)}
    made |= {folder.name: make_fakes(bare, folder) for folder in checkpoints}
    return Folder(
        _examples(faces.at(~in_test)),
        _examples(faces.at(in_test)),
        {name: _examples(fakes) for name, fakes in made.items()},
        accept(faces.at(in_test).images),
    )


def accept(images: NDArray[np.uint8]) -> Flags:
    """Whether curation's rules about masks accept each image (N, SIDE, SIDE, 3), with the limits of params.yaml."""
    limits, settings = load("curate", CurateParams), load("measure", MeasureParams)
    return np.array([acceptance_rate(image[None], limits, settings) > 0 for image in images])


def _examples(faces: LabelledFaces) -> Examples:
    return Examples(face_features(faces.images), faces.kinds, faces.persons)


def pick(examples: Examples, count: int, rng: np.random.Generator) -> Examples:
    """Up to `count` examples at random: one of each person before a second one of any."""
    order = rng.permutation(len(examples))
    shown: dict[int, int] = {}
    turns = []
    for number in examples.persons[order].tolist():
        turns.append(shown.get(number, 0))
        shown[number] = turns[-1] + 1
    return examples.at(order[np.argsort(turns, kind="stable")][:count])


def _of_kinds(examples: Examples, counts: tuple[int, int, int], rng: np.random.Generator) -> Examples:
    """So many examples with a correctly worn mask, with a wrongly worn one, and without one."""
    correct, bare = examples.kinds == CORRECT, examples.kinds == BARE
    parts = [
        pick(examples.at(places), count, rng)
        for places, count in zip((correct, ~correct & ~bare, bare), counts, strict=True)
    ]
    return joined(*parts)


def classify(folder: Folder, masked: int, added: str, tests: list[Examples], repeats: int) -> list[Trial]:
    """Train on `masked` real images of a folder and on what was added, `repeats` times, and score each test set.

    The same repeat has the same real images, whatever is added.
    """
    scores: list[list[Floats]] = [[] for _ in tests]
    for repeat in range(repeats):
        real = _of_kinds(folder.train, (masked, masked, BARE_IMAGES), np.random.default_rng([repeat, 0]))
        more = None
        if added != REAL:
            more = _of_kinds(folder.added[added], (ADDED, ADDED, 0), np.random.default_rng([repeat, 1]))
        classifier = train(real, more, repeat)
        for found, test in zip(scores, tests, strict=True):
            found.append(classifier.scores(test.features))
    return [Trial(np.stack(found), test.correct, test.persons) for found, test in zip(scores, tests, strict=True)]


def measures(trial: Trial) -> dict[str, Floats]:
    """Balanced accuracy, accuracy, and area under the ROC curve: of the trial, and in each of 1,000 resamples.

    Resampled are the persons, with all their faces, and the repeats, each with its own training images.
    """
    repeats = len(trial.scores)
    right = (trial.scores > 0) == trial.correct
    positive, negative = np.nonzero(trial.correct)[0], np.nonzero(~trial.correct)[0]
    wins = (np.sign(trial.scores[:, positive, None] - trial.scores[:, None, negative]) + 1) / 2
    rng = np.random.default_rng(0)
    equal = np.full(repeats, 1 / repeats)
    draws = [(np.ones(len(trial.persons)), equal)]
    draws += [
        (counts.astype(np.float64), rng.multinomial(repeats, equal) / repeats) for counts in resamples(trial.persons)
    ]
    found: dict[str, list[float]] = {"balanced_accuracy": [], "accuracy": [], "auc": []}
    for weights, shares in draws:
        hits, here, there = shares @ right * weights, weights[positive], weights[negative]
        if not here.any() or not there.any():
            continue  # of a few persons, a draw may lack a class
        found["balanced_accuracy"].append((hits[positive].sum() / here.sum() + hits[negative].sum() / there.sum()) / 2)
        found["accuracy"].append(hits.sum() / weights.sum())
        found["auc"].append(here @ np.tensordot(shares, wins, 1) @ there / (here.sum() * there.sum()))
    return {name: np.array(values) for name, values in found.items()}


def with_interval(values: Floats) -> list[float]:
    """A figure and its 95 % interval: [figure, low, high]."""
    return [round(value, 3) for value in (float(values[0]), *percentile_interval(values[1:].tolist()))]


def compare(folders: dict[str, Folder], repeats: int) -> Iterator[dict[str, Any]]:
    """A row for each training folder, number of real masked images, addition and test folder."""
    tests = [folder.test for folder in folders.values()]
    for name, folder in folders.items():
        if folder.accepted is not None:
            found = measures(
                Trial(np.where(folder.accepted, 1.0, -1.0)[None], folder.test.correct, folder.test.persons)
            )
            row: dict[str, Any] = {"real": "none", "masked": 0, "added": RULES, "tested": name}
            yield row | {figure: with_interval(found[figure]) for figure in ("balanced_accuracy", "accuracy")}
    for source, folder in folders.items():
        for masked in MASKED_IMAGES:
            alone: list[dict[str, Floats]] = []
            for added in (REAL, *folder.added):
                if masked == 0 and added == REAL:
                    continue  # no masked face at all
                trials = classify(folder, masked, added, tests, repeats)
                resampled = [measures(trial) for trial in trials]
                alone = resampled if added == REAL else alone
                for place, tested in enumerate(folders):
                    row = {"real": source, "masked": masked, "added": added, "tested": tested}
                    for name, values in resampled[place].items():
                        row[name] = with_interval(values)
                        if alone and added != REAL:
                            row[f"{name}_gain"] = with_interval(values - alone[place][name])
                    yield row


def table_line(row: dict[str, Any]) -> str:
    """A row of the table, in Markdown."""

    def shown(name: str) -> str:
        return "{:.3f} ({:.3f} to {:.3f})".format(*row[name]) if name in row else ""

    columns = ("balanced_accuracy", "balanced_accuracy_gain", "auc", "auc_gain")
    return " | ".join(
        ["", row["real"], str(row["masked"]), row["added"], row["tested"], *(shown(name) for name in columns), ""]
    ).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small classifier with and without drawings and fakes.")
    parser.add_argument("faces", type=Path, metavar="FACES", help="a folder with labels.csv")
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder with with_mask/ and without_mask/")
    parser.add_argument("checkpoints", type=Path, nargs="*", metavar="CHECKPOINT")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="the packed images on which the checkpoints trained")
    parser.add_argument("--repeats", type=int, default=10, help="with other training images (default: %(default)s)")
    options = parser.parse_args()
    folders, images = {}, {}
    for name, (faces, missed), pack in (
        ("faces", read_labelled(options.faces), options.pack),
        ("photos", read_photos(options.photos), None),
    ):
        folders[name] = make_folder(faces, persons_to_test(faces.persons, pack), options.checkpoints)
        images[name] = {
            "train": _counts(folders[name].train),
            "test": _counts(folders[name].test),
            "without_a_found_face": dict(missed),
        }
        print(f"{name}: {json.dumps(images[name])}", flush=True)
    rows = []
    for row in compare(folders, options.repeats):
        print(table_line(row), flush=True)
        rows.append(row)
    print(json.dumps({"images": images, "repeats": options.repeats, "rows": rows}))


def _counts(examples: Examples) -> dict[str, int]:
    kinds, counts = np.unique(examples.kinds, return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


if __name__ == "__main__":
    main()
