"""What a hand-off consists of: the stages, what they stand on, and how both sides know that they mean the same."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass

from flows.processes.dvc_runner import dvc_reason, run_dvc
from pipeline.errors import FacemaskError
from pipeline.params import PARAMS_FILE, STRICT, load
from pipeline.storage.files import digest_of, sha256

HANDED_OVER = ("train", "evaluate")
"""The stages that a GPU worker does for the flow, in order."""

LOCK_ARTIFACT = "dvc-lock"
"""Key of the artifact in which the GPU side gives back its stages' entries of dvc.lock, a row a stage."""

_DVC_YAML = Path("dvc.yaml")
_DVC_LOCK = Path("dvc.lock")


@dataclass(frozen=True, config=STRICT)
class HandoffParams:
    """The block `handoff` of params.yaml; comments there give each key's unit and reason."""

    enabled: bool
    wait_minutes: Annotated[float, Field(gt=0, le=10_000)]
    checkpoint_minutes: Annotated[float, Field(gt=0, le=10_000)]


class Job(TypedDict):
    """The parameters of the flow train-cyclegan: what both sides must agree on."""

    stages: list[str]
    dvc_lock: str  # the text of dvc.lock: the digests of all data
    code: dict[str, str]  # path -> sha256 of the files that the stages stand on beside data
    commit: str | None  # the curating side's, for people; None without git


def handoff_params(workspace: Path) -> HandoffParams | None:
    """None where params.yaml has no block `handoff`, or it says `enabled: false`."""
    path = workspace / PARAMS_FILE
    blocks = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(blocks, dict) or "handoff" not in blocks:
        return None
    params = load("handoff", HandoffParams, path)
    return params if params.enabled else None


def describe_job(stages: list[str], workspace: Path) -> Job:
    return Job(
        stages=stages,
        dvc_lock=(workspace / _DVC_LOCK).read_text(encoding="utf-8"),
        code=code_digests(stages, workspace),
        commit=commit_of(workspace),
    )


def needed_data(stages: Sequence[str], workspace: Path) -> list[str]:
    """What `stages` read that other stages make: their inputs in the DVC remote."""
    made = {out for name, stage in _plain_stages(workspace).items() if name not in stages for out in _outs(stage)}
    return sorted(set(_deps(stages, workspace)) & made)


def code_digests(stages: Sequence[str], workspace: Path) -> dict[str, str]:
    """The files that `stages` stand on and no stage makes, and both YAML files, with their sha256; empty if missing.

    dvc.yaml lists them all, as a test of its own makes sure.
    """
    made = {out for stage in _plain_stages(workspace).values() for out in _outs(stage)}
    paths = {_DVC_YAML.as_posix(), PARAMS_FILE.as_posix(), *_deps(stages, workspace)} - made
    found: dict[str, str] = {}
    for path in sorted(paths):
        here = workspace / path
        files = (
            sorted(file for file in here.rglob("*.*") if file.is_file() and "__pycache__" not in file.parts)
            if here.is_dir()
            else [here]
        )
        for file in files:
            found[file.relative_to(workspace).as_posix()] = sha256(file) if file.is_file() else ""
    return found


def refuse_other_code(job: Job, workspace: Path) -> None:
    """Raise FacemaskError if this clone's files are not those that the job is about."""
    here = code_digests(job["stages"], workspace)
    differ = sorted(path for path in here.keys() | job["code"].keys() if here.get(path) != job["code"].get(path))
    if not differ:
        return
    shown = ", ".join(differ[:3]) + (f" and {len(differ) - 3} more" if len(differ) > 3 else "")
    if job["commit"] in (None, commit_of(workspace)):
        what_to_do = "both are at the same commit, but one has changes of its own: commit them, then bring both to that"
    else:
        what_to_do = f"bring it to commit {job['commit']}, as by 'git restore dvc.lock; git pull'"
    raise FacemaskError(
        f"the GPU worker's clone in {workspace} differs from the run that it is to train for, in {shown}: {what_to_do}"
    )


def training_key(job: Job, workspace: Path) -> str:
    """16 hex digits that name a training by its data and parameters, as long as it is under way."""
    stages = yaml.safe_load(job["dvc_lock"])["stages"]
    data = needed_data(job["stages"], workspace)
    hashes = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    params = yaml.safe_load((workspace / PARAMS_FILE).read_text(encoding="utf-8"))
    presets = {path: digest for path, digest in job["code"].items() if path.startswith("experiments/")}
    return digest_of({path: hashes.get(path) for path in data}, params.get("train"), presets)


def write_lock(text: str, workspace: Path) -> None:
    (workspace / _DVC_LOCK).write_text(text, encoding="utf-8")


def lock_entries(stages: Sequence[str], workspace: Path) -> dict[str, Any]:
    """What dvc.lock says of `stages`."""
    known = yaml.safe_load((workspace / _DVC_LOCK).read_text(encoding="utf-8"))["stages"]
    return {stage: known[stage] for stage in stages}


def merge_lock(entries: dict[str, Any], workspace: Path) -> None:
    """Take another clone's entries into dvc.lock; those of other stages stay."""
    path = workspace / _DVC_LOCK
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    lock["stages"] |= entries
    path.write_text(yaml.safe_dump(lock, sort_keys=False, allow_unicode=True), encoding="utf-8")


def changes(stages: Sequence[str], workspace: Path) -> set[str]:
    """In what `stages` are not up to date, in DVC's words, as `changed deps`; nothing: DVC would not run them."""
    lines: list[str] = []
    status = run_dvc(["status", "--json", *stages], workspace, lines.append)
    try:
        found: dict[str, list[Any]] = json.loads(lines[-1])
    except (ValueError, IndexError) as error:
        reason = dvc_reason(lines) or f"exit status {status}"
        raise FacemaskError(f"'dvc status' failed in {workspace}: {reason}; run it there to see more") from error
    return {
        kind
        for entries in found.values()
        for entry in entries
        for kind in (entry if isinstance(entry, dict) else [entry])
    }


def commit_of(workspace: Path) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=workspace, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _plain_stages(workspace: Path) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml that are no `foreach` ones, with the values of params.yaml that it names as ${a.b}."""
    params = yaml.safe_load((workspace / PARAMS_FILE).read_text(encoding="utf-8"))

    def value(named: re.Match[str]) -> str:
        found: Any = params
        for key in named[1].split("."):
            found = found.get(key, {}) if isinstance(found, dict) else {}
        return str(found) if isinstance(found, str | int | float) else named[0]

    text = re.sub(r"\$\{([\w.]+)\}", value, (workspace / _DVC_YAML).read_text(encoding="utf-8"))
    stages = yaml.safe_load(text)["stages"]
    return {name: stage for name, stage in stages.items() if "cmd" in stage}


def _deps(stages: Sequence[str], workspace: Path) -> list[str]:
    known = _plain_stages(workspace)
    return [dep for stage in stages if stage in known for dep in known[stage].get("deps", [])]


def _outs(stage: dict[str, Any]) -> list[str]:
    """The paths of a stage's outs, metrics and plots; each is a string, or one key with its options."""
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
