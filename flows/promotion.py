"""Promotion: register a newly trained model, compare it with the promoted one, and promote it or only keep it.

Both are evaluated on the same test faces, with the same limits and the same code: where any of that has changed since
the promoted model was evaluated, it is evaluated again. This is no stage of DVC, since it changes what it reads.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.processes.dvc_runner import DVC_LOCK, Log, run_dvc, run_program
from models import evaluation_report, registry
from models.evaluation_report import Evaluation
from models.params import Direction, RetrainParams
from models.registry import PROMOTED_EVALUATION, REGISTRY, Model
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.paths import CHECKPOINT_JSON, Paths
from pipeline.storage.files import digest_of, link_or_copy, replacing_folder, sha256

COMPARED: tuple[tuple[Direction, str, int], ...] = (
    ("mask", "accepted", 1),
    ("unmask", "still_masked", -1),
    ("mask", "kid", -1),
    ("unmask", "kid", -1),
    ("mask", "real_fake_auc", -1),
    ("unmask", "real_fake_auc", -1),
)
"""The metrics that decide, where both models have them: direction, name, and 1 if more is better, else -1."""

_NOT_KEPT = ("state.pt",)  # optimizer state, twice the size of the weights: a registered model is not trained further
_OWN_INPUTS = ("checkpoints", "data/train")  # of `evaluate`: the model, and the test faces, which have their own digest


def register_trained(log: Log) -> str | None:
    """Register the model in checkpoints/ with its evaluation. Returns the outcome; None if it was registered before.

    Raises FacemaskError where the promoted model has to be evaluated again and cannot be; the next run tries it again.
    """
    paths = Paths()
    checkpoint = paths.checkpoints / CHECKPOINT_JSON
    if not checkpoint.is_file() or not paths.evaluation.is_file():
        return None
    trained, metrics = _read(checkpoint), evaluation_report.read(paths.evaluation)
    digest = sha256(checkpoint)
    known = registry.read()
    if metrics.checkpoint != digest[:12] or any(model.checkpoint == digest for model in known.models):
        return None
    new = Model(
        name=known.next_name(),
        registered=datetime.now(UTC).isoformat(timespec="seconds"),
        checkpoint=digest,
        started_from=(trained.get("started_from") or {}).get("model"),
        images_seen=trained["images_seen"],
        data=trained["pack_sha256"],
        split=params.read(params.PARAMS_FILE, "curate")["split"],
        evaluation_id=_evaluation_id(metrics),
        metrics=metrics,
        verdict="",
    )
    promoted, verdict = True, "the first one"
    if metrics.makes_faces:
        promoted, verdict = False, "makes new faces, and the promoted model is to change photos"
    elif known.promoted:
        promoted, verdict = _compare(new, known.find(known.promoted), trained.get("schema"), log)
        known = registry.read()  # the promoted model may have been evaluated again
    _keep(new.name)
    known = known.with_model(replace(new, verdict=verdict))
    registry.write(replace(known, promoted=new.name) if promoted else known)
    outcome = f"model {new.name} promoted: {verdict}"
    if metrics.makes_faces:
        outcome = f"model {new.name} kept, not promoted: {verdict}; 'facemask sample {new.name} --out DIR' makes some"
    elif not promoted:
        outcome = f"model {new.name} kept, not promoted: {verdict}; 'facemask models --promote {new.name}' does it"
    log(outcome)
    log(f"it is in {REGISTRY / new.name}/; to keep it beyond this folder: dvc push, and git add {REGISTRY}")
    return outcome


def worse_metrics(new: Evaluation, old: Evaluation, tolerance: float) -> list[str]:
    """The metrics in which `new` is worse than `old` by more than `tolerance`, with both values.

    Where the old one's has an interval, the new one's must lie outside it too: on few test faces the rest is chance.
    """
    return [
        f"{name} {of_new} against {of_old}"
        for name, of_new, of_old, sign in _pairs(new, old)
        # Metrics have four digits: 0.78 against 0.8 is a difference of 0.02, whatever binary fractions make of it.
        if round(sign * (of_old - of_new), 6) > tolerance and not _is_chance(of_new, _interval(old, name))
    ]


def bring_weights(name: str) -> Path:
    """The folder of a model's weights, registry/NAME, checked out of DVC's cache if it is not there."""
    pointer = REGISTRY / f"{name}.dvc"
    if not (REGISTRY / name).is_dir() and pointer.is_file():
        _dvc("checkout", str(pointer))
    return registry.weights(name)


def _compare(new: Model, old: Model, schema: object, log: Log) -> tuple[bool, str]:
    """Whether `new` is to be promoted in place of `old`, and why. `schema`: of the new model's checkpoint.json."""
    if old.metrics.unmask.measured() and not new.metrics.unmask.measured():
        return False, f"only puts masks on, and {old.name} takes them off too"
    if old.split != new.split:
        return False, (
            f"cannot be compared with {old.name}: curate.split has changed since, so that {old.name} may have been "
            "trained on today's test faces"
        )
    if old.evaluation_id != new.evaluation_id:
        if _read(bring_weights(old.name) / CHECKPOINT_JSON).get("schema") != schema:
            return False, f"cannot be compared with {old.name}, which an earlier facemask made and this one cannot read"
        log(f"the test faces, the limits or the code have changed since {old.name} was evaluated: evaluating it again")
        metrics = _evaluate_promoted(log)
        old = replace(old, metrics=metrics, evaluation_id=_evaluation_id(metrics))
        registry.write(registry.read().with_model(old))
    tolerance = params.load("retrain", RetrainParams).tolerance
    if worse := worse_metrics(new.metrics, old.metrics, tolerance):
        return False, f"worse than {old.name} by more than {tolerance}: {', '.join(worse)}"
    compared = [f"{name} {of_new} against {of_old}" for name, of_new, of_old, _ in _pairs(new.metrics, old.metrics)]
    if not any(".kid " in line for line in compared):
        compared.append("realism was not measured (KID needs pip install -c constraints.txt -e '.[evaluation]')")
    return True, f"not worse than {old.name}: {', '.join(compared)}"


def _pairs(new: Evaluation, old: Evaluation) -> list[tuple[str, float, float, int]]:
    """Name, both values and the sign of every metric of COMPARED that both have."""
    found = []
    for direction, name, sign in COMPARED:
        of_new, of_old = getattr(new.of(direction), name), getattr(old.of(direction), name)
        if of_new is not None and of_old is not None:
            found.append((f"{direction}.{name}", of_new, of_old, sign))
    return found


def _interval(of: Evaluation, name: str) -> list[float] | None:
    """The interval of a metric, DIRECTION.NAME, where it was measured."""
    direction, _, metric = name.partition(".")
    interval: list[float] | None = of.as_json()[direction].get(f"{metric}_interval")
    return interval


def _is_chance(value: float, interval: list[float] | None) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def _evaluation_id(metrics: Evaluation) -> str:
    """Digest of everything but the model that the metrics depend on, from what dvc.lock records of `evaluate`."""
    lock = params.parse(DVC_LOCK)["stages"]["evaluate"]
    inputs = {dep["path"]: dep["md5"] for dep in lock["deps"] if dep["path"] not in _OWN_INPUTS}
    return digest_of(inputs, lock.get("params"), metrics.test_set)


def _keep(name: str) -> None:
    """Add the weights in checkpoints/ to DVC as registry/NAME, without a second copy in its cache."""
    with replacing_folder(REGISTRY / name) as made:
        for file in sorted(Paths().checkpoints.iterdir()):
            if file.name not in _NOT_KEPT:
                link_or_copy(file, made / file.name)
    _dvc("add", str(REGISTRY / name))


def _dvc(*arguments: str) -> None:
    ended = run_dvc(arguments, Path.cwd())
    if ended.status:
        hint = f": bring it by 'dvc pull {arguments[-1]}'" if arguments[0] == "checkout" else ""
        raise FacemaskError(f"'dvc {' '.join(arguments)}' failed ({ended.reason}){hint}")


def _evaluate_promoted(log: Log) -> Evaluation:
    """Evaluate the promoted model on today's test faces, each line of it to `log`."""
    ended = run_program([sys.executable, "-m", "models", "evaluate-promoted"], Path.cwd(), log)
    if ended.status:
        raise FacemaskError(f"the promoted model cannot be evaluated again: {ended.reason}")
    return evaluation_report.read(Paths().work() / PROMOTED_EVALUATION)


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
