"""What becomes of a newly trained model: it is registered, held against the promoted one, and promoted or only kept.

Both are compared on the same test faces, with the same gate and the same code: where anything of that has changed since
the promoted model was evaluated, it is evaluated again. Not a stage of DVC's, since it changes what it reads.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from flows.processes.dvc_runner import Log, dvc_reason, run_dvc, run_program
from models import registry
from models.params import RetrainParams
from models.registry import JUDGED, REGISTRY, Model
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.messages import Message
from pipeline.storage.files import digest_of, link_or_copy, replacing_folder, sha256, work_folder

CHECKPOINTS, EVALUATION = Path("checkpoints"), Path("reports/evaluation.json")
COMPARED = (("mask", "accepted", 1), ("unmask", "still_masked", -1), ("mask", "kid", -1), ("unmask", "kid", -1))
"""The figures that decide, where both models have them: direction, name, and 1 where more is better."""

# Of finished training nothing is gone on with: its optimisers' state, twice the weights' size, is not kept.
_NOT_KEPT = ("state.pt",)
_ITS_OWN = ("checkpoints", "data/train")  # inputs of `evaluate`; the test faces among them have a digest of their own


def register_trained(log: Log) -> str | None:
    """Register the model in checkpoints/ with its evaluation; gives what became of it, None if that was known already.

    Raises FacemaskError where the promoted model has to be evaluated again and cannot be; the next run tries it again.
    """
    if not (CHECKPOINTS / "checkpoint.json").is_file() or not EVALUATION.is_file():
        return None
    trained, figures = _read(CHECKPOINTS / "checkpoint.json"), _read(EVALUATION)
    digest = sha256(CHECKPOINTS / "checkpoint.json")
    known = registry.read()
    if figures["checkpoint"] != digest[:12] or any(model.checkpoint == digest for model in known.models):
        return None
    new = Model(
        name=known.next_name(),
        registered=datetime.now(UTC).isoformat(timespec="seconds"),
        checkpoint=digest,
        started_from=(trained.get("started_from") or {}).get("model"),
        images_seen=trained["images_seen"],
        data=trained["pack_sha256"],
        split=params.read(params.PARAMS_FILE, "curate")["split"],
        basis=_basis(figures),
        figures=figures,
        verdict="",
    )
    promoted, verdict = known.promoted is None, "the first one"
    if known.promoted:
        old = known.find(known.promoted)
        if old.split != new.split:
            verdict = (
                f"cannot be compared with {old.name}: curate.split has changed since, so that {old.name} may have been "
                "trained on today's test faces"
            )
        elif old.basis != new.basis and _schema(old) != trained.get("schema"):
            verdict = f"cannot be compared with {old.name}, which an earlier facemask made and this one cannot read"
        else:
            old = _on_the_same_faces(old, new, log)
            known = registry.read().with_model(old)
            tolerance = params.load("retrain", RetrainParams).tolerance
            worse = worse_figures(new.figures, old.figures, tolerance)
            promoted = not worse
            verdict = (
                f"worse than {old.name} by more than {tolerance}: {', '.join(worse)}"
                if worse
                else f"not worse than {old.name}: {', '.join(_held_against(new.figures, old.figures))}"
            )
    _keep(new.name)
    known = known.with_model(replace(new, verdict=verdict))
    registry.write(replace(known, promoted=new.name) if promoted else known)
    if promoted:
        message = f"model {new.name} promoted: {verdict}"
    else:
        message = f"model {new.name} kept, not promoted: {verdict}; 'facemask models --promote {new.name}' does it"
    log(message)
    log(f"it is in {REGISTRY / new.name}/; to keep it beyond this folder: dvc push, and git add {REGISTRY}")
    return message


def worse_figures(new: dict[str, Any], old: dict[str, Any], tolerance: float) -> list[str]:
    """The figures in which `new` is worse than `old` by more than `tolerance`, with both values."""
    return [
        f"{direction}.{name} {new[direction][name]} against {old[direction][name]}"
        for direction, name, sign in COMPARED
        # Figures have four digits: 0.78 against 0.8 is a difference of 0.02, whatever binary fractions make of it.
        if _have(new, old, direction, name)
        and round(sign * (old[direction][name] - new[direction][name]), 6) > tolerance
    ]


def bring_weights(name: str) -> None:
    """Have the weights of a model in registry/NAME/, out of DVC's cache if they are not there."""
    pointer = REGISTRY / f"{name}.dvc"
    if not (REGISTRY / name).is_dir() and pointer.is_file():
        _dvc("checkout", str(pointer))
    registry.weights(name)


def _held_against(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [
        f"{direction}.{name} {new[direction][name]} against {old[direction][name]}"
        for direction, name, _ in COMPARED
        if _have(new, old, direction, name)
    ]


def _have(new: dict[str, Any], old: dict[str, Any], direction: str, name: str) -> bool:
    return all(figures.get(direction, {}).get(name) is not None for figures in (new, old))


def _on_the_same_faces(old: Model, new: Model, log: Log) -> Model:
    """`old` with figures that can be held against those of `new`: evaluated again, unless they can be already."""
    if old.basis == new.basis:
        return old
    bring_weights(old.name)
    log(f"test faces, or how they are judged, have changed since {old.name} was evaluated: evaluating it once more")
    _judge_again(log)
    figures = _read(work_folder() / JUDGED)
    return replace(old, figures=figures, basis=_basis(figures))


def _schema(model: Model) -> object:
    """Of its checkpoint.json."""
    bring_weights(model.name)
    return _read(registry.weights(model.name) / "checkpoint.json").get("schema")


def _basis(figures: dict[str, Any]) -> str:
    """Digest of everything beside the model that its figures depend on, by what DVC noted when it ran `evaluate`."""
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]["evaluate"]
    inputs = {dep["path"]: dep["md5"] for dep in lock["deps"] if dep["path"] not in _ITS_OWN}
    return digest_of(inputs, lock.get("params"), figures.get("test_set"))


def _keep(name: str) -> None:
    """Have DVC hold on to the weights in checkpoints/ as registry/NAME, without a second copy in its cache."""
    with replacing_folder(REGISTRY / name) as made:
        for file in sorted(CHECKPOINTS.iterdir()):
            if file.name not in _NOT_KEPT:
                link_or_copy(file, made / file.name)
    _dvc("add", str(REGISTRY / name))


def _dvc(*arguments: str) -> None:
    lines: list[str] = []
    if run_dvc(arguments, Path.cwd(), lines.append):
        hint = f": bring it by 'dvc pull {arguments[-1]}'" if arguments[0] == "checkout" else ""
        raise FacemaskError(f"'dvc {' '.join(arguments)}' failed ({dvc_reason(lines)}){hint}")


def _judge_again(log: Log) -> None:
    """Evaluate the promoted model on today's test faces, each line of it to `log`."""
    errors: list[str] = []

    def on_message(message: Message) -> None:
        if message.kind == "error":
            errors.append(message.text)

    if status := run_program([sys.executable, "-m", "models", "judge"], Path.cwd(), log, on_message):
        reason = errors[-1] if errors else f"exit status {status}"
        raise FacemaskError(f"the promoted model cannot be evaluated again: {reason}")


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
