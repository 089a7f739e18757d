"""`facemask init`: make a folder a project, or bring the code of a project up to date.

`.facemask.json` in the project records what was written, so that an update replaces that and nothing else.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.project import CODE, MADE_BY_PEOPLE, PACKAGES, git, is_code, project_files, try_git, write_files
from models import registry
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.paths import MODELS_JSON, Paths
from pipeline.storage.files import locked, real_path, write_json
from pipeline.version import VERSION, numbers

RECORD = ".facemask.json"
_OWN = ("params.yaml", *MADE_BY_PEOPLE)  # the user's from the start; other settings are once they are changed
_SOURCES = "sources"  # the block of params.yaml whose keys are the user's choice
_SHOWN = 5  # paths in a line


@dataclass
class _Update:
    """What an update did to the files of a project, paths relative to it."""

    written: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)  # code that is gone
    kept: list[str] = field(default_factory=list)  # new here, but changed by the user
    replaced: list[str] = field(default_factory=list)  # changed and committed by the user


def init(folder: Path, *, sample: bool = False) -> None:
    """Make `folder` a project and commit it; where it is one, bring its code to this version and commit that.

    With `sample` a new project has the parameters of `make demo`. Parameters, data, reviews, models, settings that the
    user changed, and files of the user's own stay as they are. An interrupted call is continued by the next one.

    Raises FacemaskError for a folder with other files or inside another git repository, for a project with a newer
    version or where something runs, and for changes of its code that are not committed. Nothing is written then.
    """
    folder = folder.absolute()
    if (there := _nearest(folder)).is_file():
        raise FacemaskError(f"{there} is a file: name a folder")
    if real_path(folder) == CODE:
        raise FacemaskError(f"{folder} has the code that runs now: name another folder, or run the installed command")
    contents = project_files(CODE, params.default_file().parent)
    if sample:
        contents["params.yaml"] = (CODE / "flows/demo_params.yaml").read_bytes()
    record = _read_record(folder)
    if record is None:
        _refuse_files_of_others(folder, contents)
        record = {"facemask": VERSION, "files": {}}
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(locked(folder, f"another 'facemask init' is writing to {folder}: wait until it ends"))
        if record["files"]:
            for name in ("up", "run"):
                refusal = f"something runs in {folder}: stop it first ('facemask down' there, or wait for the run)"
                stack.enter_context(locked(Paths(folder).work() / f"{name}.lock", refusal))
            _refuse_update(folder, contents, record["facemask"], sample=sample)
        else:
            if not (folder / ".git").exists():
                git(folder, "init", "--quiet")
            write_json(folder / RECORD, record)
        update = _plan(folder, contents, record["files"])
        _apply(folder, contents, update)
    print("\n".join(_report(folder, update, record) if record["files"] else _next(folder, sample=sample)), flush=True)


def _nearest(folder: Path) -> Path:
    """The folder, or what exists nearest above it."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _read_record(folder: Path) -> dict[str, Any] | None:
    """The record of what was written into a project; None where there is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {"facemask": str(record["facemask"]), "files": dict(record["files"])}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        path = folder / RECORD
        raise FacemaskError(f"{path} is not what 'facemask init' wrote: 'git checkout {RECORD}' there") from error


def _refuse_files_of_others(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Raise FacemaskError where a project would be in another git repository, or among files of others.

    An empty folder will do, and a git repository's own folder without any of a project's names.
    """
    there = _nearest(folder)
    around = try_git(there, "rev-parse", "--show-toplevel")
    top = None if around.returncode else real_path(Path(around.stdout.rstrip("\n")))
    own = top == real_path(folder)
    if top and not own and try_git(there, "check-ignore", "--quiet", f"{folder}/").returncode:
        raise FacemaskError(
            f"{folder} is inside the git repository {top}, and a project has its own: "
            "name a folder outside, or one that its .gitignore lists"
        )
    if not folder.is_dir():
        return
    if not own and any(folder.iterdir()):
        raise FacemaskError(f"{folder} is not empty: name a new folder; images go into its data/inbox/ later")
    names = (*PACKAGES, *(name for name in contents if not is_code(name)), "dvc.yaml")
    if taken := [name for name in names if (folder / name).exists()]:
        raise FacemaskError(f"{folder} has '{taken[0]}' already, which a project needs: name a new folder")


def _refuse_update(folder: Path, contents: Mapping[str, bytes], before: str, *, sample: bool) -> None:
    """Raise FacemaskError where an update would lose something."""
    if sample:
        raise FacemaskError(f"--sample is for a new project, and {folder} has its params.yaml: leave it out")
    if numbers(before) > numbers(VERSION):
        raise FacemaskError(f"{folder} has facemask {before}, and {VERSION} is installed: install {before} or newer")
    options = ("--porcelain", "-z", "--no-renames", "--untracked-files=all")
    status = git(folder, "status", *options, "--", *PACKAGES, "dvc.yaml")
    changed = [line[3:] for line in status.split("\0") if line]
    theirs = [name for name in changed if is_code(name) and name in contents and _read(folder / name) != contents[name]]
    if theirs:
        raise FacemaskError(
            f"{_listed(theirs)} in {folder}: changed and not committed: commit, or 'git checkout' them, then try again"
        )


def _plan(folder: Path, contents: Mapping[str, bytes], recorded: Mapping[str, str]) -> _Update:
    """What is to be written into a project and removed from it; `recorded` are the digests of the last time."""
    update = _Update()
    for name, content in contents.items():
        there, last = _read(folder / name), recorded.get(name)
        if there == content:
            continue
        theirs = there is not None and last != _digest(there)
        if is_code(name) or (there is None and last is None) or not (theirs or there is None or name in _OWN):
            update.written[name] = content
            if theirs and last:
                update.replaced.append(name)
        elif theirs and name not in _OWN and last != _digest(content):
            update.kept.append(name)
    for name in recorded.keys() - contents.keys():
        there = _read(folder / name)
        if is_code(name) and (there is None or _digest(there) == recorded[name]):
            update.removed.append(name)
    return update


def _apply(folder: Path, contents: Mapping[str, bytes], update: _Update) -> None:
    """Write and remove files of a project, and commit these and nothing else."""
    write_files(folder, update.written)
    for name in update.removed:
        (folder / name).unlink(missing_ok=True)
    registry.create(Paths(folder).registry)
    files = {name: _digest(content) for name, content in contents.items() if name not in _OWN}
    write_json(folder / RECORD, {"facemask": VERSION, "files": files})
    models = f"{Paths().registry}/{MODELS_JSON}"
    ours = [RECORD, *(name for name, content in contents.items() if _read(folder / name) == content)]
    if not git(folder, "ls-files", "--", models):
        ours.append(models)
    git(folder, "add", "--force", "--", *ours)  # whatever the user's own .gitignore says
    if update.removed:
        git(folder, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", *update.removed)
    changed = git(folder, "diff", "--cached", "--name-only", "-z", "--", *ours, *update.removed).split("\0")[:-1]
    if changed:
        git(folder, *_author(folder), "commit", "--quiet", "--message", f"facemask {VERSION}", "--", *changed)


def _author(folder: Path) -> tuple[str, ...]:
    """Options for a commit where git does not know its user."""
    if all(try_git(folder, "config", key).returncode == 0 for key in ("user.name", "user.email")):
        return ()
    return ("-c", "user.name=facemask", "-c", "user.email=facemask@localhost")


def _next(folder: Path, *, sample: bool) -> Iterator[str]:
    """Lines about a new project, and what to do next."""
    yield f"facemask: {folder} is a project now, in its own git and DVC repository (facemask {VERSION})"
    yield f"next: cd {folder}"
    if not sample:
        yield "      put images into data/inbox/ (its README.md says how), or name other sources in params.yaml"
    yield "      facemask run, or facemask up"


def _report(folder: Path, update: _Update, record: Mapping[str, Any]) -> Iterator[str]:
    """Lines that tell what an update did."""
    before = f", before it was {record['facemask']}" if record["facemask"] != VERSION else ""
    count = len(update.written) + len(update.removed)
    done = f"{count} files changed, and committed" if count else "nothing to change"
    yield f"facemask: {folder} has the code of facemask {VERSION}{before}: {done}"
    if update.replaced:
        yield f"facemask: your changes of {_listed(update.replaced)} are replaced: 'git show' has both"
    if update.kept:
        yield f"facemask: your {_listed(update.kept)} stays: the new one is in {params.default_file().parent}"
    if count:
        yield from _differing_keys(folder / params.PARAMS_FILE)


def _differing_keys(theirs: Path) -> Iterator[str]:
    """Lines about keys that only a project's params.yaml, or only that of this version has."""
    default = params.default_file()
    new, old = _keys(params.parse(default)), _keys(params.parse(theirs))
    for more, fewer, keys in ((default, theirs, new - old), (theirs, default, old - new)):
        if keys:
            yield f"facemask: {_listed(sorted(keys))}: in {more}, not in {fewer}"


def _keys(values: Any, prefix: str = "") -> set[str]:
    """All keys of params.yaml, as `curate.dedup.max_removed`; of block `sources` none."""
    if not isinstance(values, dict) or prefix == f"{_SOURCES}.":
        return set()
    return {f"{prefix}{key}" for key in values}.union(*(_keys(values[key], f"{prefix}{key}.") for key in values))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
