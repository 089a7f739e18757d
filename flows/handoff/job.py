"""The contents of a hand-off: the stages, the files that they read, and how both sides know that they are the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass

from flows.processes.dvc_runner import DVC_LOCK, read_stages, run_dvc
from pipeline.errors import FacemaskError
from pipeline.params import STRICT, build, parse
from pipeline.paths import Paths
from pipeline.storage.files import digest_of, replacing, sha256

HANDED_OVER = ("train", "evaluate")
"""The stages that a GPU worker does for the flow, in order."""

LOCK_ARTIFACT = "dvc-lock"
"""Key of the artifact in which the GPU side returns its stages' entries of dvc.lock, as YAML."""


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
    code: dict[str, str]  # path -> sha256 of the files beside data that the stages read


def handoff_params(workspace: Path) -> HandoffParams | None:
    """None where params.yaml has no block `handoff`, or it has `enabled: false`."""
    path = Paths(workspace).params
    block = (parse(path) or {}).get("handoff")
    params = None if block is None else build("handoff", block, HandoffParams, path)
    return params if params and params.enabled else None


def describe_job(stages: list[str], workspace: Path) -> Job:
    """The job that has `stages` of this workspace done elsewhere."""
    text = (workspace / DVC_LOCK).read_text(encoding="utf-8")
    return Job(stages=stages, dvc_lock=text, code=code_digests(stages, workspace))


def refuse_unknown_stages(stages: Sequence[str]) -> None:
    """Raise FacemaskError unless `stages` are stages that a GPU worker does."""
    if not stages or (unknown := [stage for stage in stages if stage not in HANDED_OVER]):
        raise FacemaskError(
            f"train-cyclegan does {' and '.join(HANDED_OVER)}, not {', '.join(unknown) if stages else 'no stage'}: "
            "start curate-and-train for other stages"
        )


def needed_data(stages: Sequence[str], workspace: Path) -> list[str]:
    """What `stages` read that other stages make: their inputs in the DVC remote."""
    known = read_stages(workspace)
    made = {out for name, stage in known.items() if name not in stages for out in stage.outs}
    return sorted({dep for stage in stages if stage in known for dep in known[stage].deps} & made)


def code_digests(stages: Sequence[str], workspace: Path) -> dict[str, str]:
    """Path -> sha256 of dvc.yaml, params.yaml and all that `stages` read and no stage makes; "" for a missing file.

    A test checks that dvc.yaml lists all code that a stage imports.
    """
    known = read_stages(workspace)
    made = {out for stage in known.values() for out in stage.outs}
    read = {dep for stage in stages if stage in known for dep in known[stage].deps}
    found: dict[str, str] = {}
    for path in sorted({"dvc.yaml", "params.yaml", *read} - made):
        here = workspace / path
        files = sorted(here.rglob("*.*")) if here.is_dir() else [here]
        for file in files:
            if "__pycache__" not in file.parts and not file.is_dir():
                found[file.relative_to(workspace).as_posix()] = sha256(file) if file.is_file() else ""
    return found


def refuse_other_code(job: Job, workspace: Path) -> None:
    """Raise FacemaskError if this clone's files are not those of the job."""
    here = code_digests(job["stages"], workspace)
    differ = sorted(path for path in here.keys() | job["code"].keys() if here.get(path) != job["code"].get(path))
    if not differ:
        return
    shown = ", ".join(differ[:3]) + (f" and {len(differ) - 3} more" if len(differ) > 3 else "")
    raise FacemaskError(
        f"the GPU worker's clone in {workspace} differs from the run that it is to train for, in {shown}: bring both "
        "to the same commit ('git restore dvc.lock; git pull'), without uncommitted changes ('git status' shows them)"
    )


def training_key(job: Job, workspace: Path) -> str:
    """16 hex digits that name a training by its data and parameters, until it is done."""
    stages = yaml.safe_load(job["dvc_lock"])["stages"]
    hashes = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    data = {path: hashes.get(path) for path in needed_data(job["stages"], workspace)}
    presets = {path: digest for path, digest in job["code"].items() if path.startswith("experiments/")}
    return digest_of(data, parse(Paths(workspace).params).get("train"), presets)


def write_lock(text: str, workspace: Path) -> None:
    """Replace dvc.lock, whole or not at all."""
    with replacing(workspace / DVC_LOCK) as beside:
        beside.write_text(text, encoding="utf-8")


def lock_entries(stages: Sequence[str], workspace: Path) -> dict[str, Any]:
    """The entries of `stages` in dvc.lock."""
    known = parse(workspace / DVC_LOCK)["stages"]
    return {stage: known[stage] for stage in stages}


def merge_lock(entries: dict[str, Any], workspace: Path) -> None:
    """Take another clone's entries into dvc.lock; those of other stages stay."""
    lock = parse(workspace / DVC_LOCK)
    lock["stages"] |= entries
    write_lock(yaml.safe_dump(lock, sort_keys=False, allow_unicode=True), workspace)


def changes(stages: Sequence[str], workspace: Path) -> set[str]:
    """In what `stages` are not up to date, in DVC's words, as `changed deps`; empty: DVC would not run them."""
    ended = run_dvc(["status", "--json", *stages], workspace)
    try:
        found: dict[str, list[str | dict[str, Any]]] = json.loads(ended.lines[-1])
    except (ValueError, IndexError) as error:
        raise FacemaskError(f"'dvc status' failed in {workspace}: {ended.reason}; run it there to see more") from error
    # An entry is a kind of change, or a mapping from kinds to paths.
    entries = [entry for listed in found.values() for entry in listed]
    return {kind for entry in entries for kind in ([entry] if isinstance(entry, str) else entry)}
