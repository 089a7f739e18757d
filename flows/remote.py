"""The DVC remote as the hand-off uses it: what stages made goes there and comes back; beside it, half-done training."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.stages import Log, dvc_reason, run_dvc
from pipeline.errors import FacemaskError
from pipeline.files import link_or_copy, sha256, work_folder

FOLDER = "facemask-training"  # in the remote; all of it may be deleted at any time, at the cost of repeated training
_STATE = "state-*"  # as models/train.py names a whole state, in work/train/DIGEST/; the last by name is the newest


def push(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Raises FacemaskError with DVC's reason."""
    _transfer(["push", *targets], workspace, log)


def pull(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Bring `targets` as dvc.lock names them; what lies there goes, known to DVC or not, as it would by `dvc repro`."""
    _transfer(["pull", "--force", *targets], workspace, log)


def _transfer(arguments: list[str], workspace: Path, log: Log) -> None:
    lines: list[str] = []

    def hear(line: str) -> None:
        if line:
            lines.append(line)
            log(line)

    log(f"dvc {' '.join(arguments)}")
    if status := run_dvc(arguments, workspace, hear):
        raise FacemaskError(
            f"'dvc {arguments[0]}' failed in {workspace}: {dvc_reason(lines) or f'exit status {status}'}; "
            "'dvc remote list' shows the remote: can it be reached from here?"
        )


class StateStore:
    """Half-done training in the DVC remote, under the name of what is trained (flows/job.py: training_key).

    REMOTE/facemask-training/KEY/DIGEST/state-N.json, written last, lists the files of REMOTE/.../DIGEST/state-N/ with
    their sha256: a state without it, or with a file that is not as listed, is none.
    """

    def __init__(self, workspace: Path, key: str) -> None:
        self._fs, remote = _open_remote(workspace)
        self._folder = self._fs.join(remote, FOLDER, key)
        self._work = work_folder("train")

    def push(self, name: str) -> None:
        """Copy the state work/train/NAME there, then drop the older ones of its training."""
        snapshot = work_folder("handoff") / "state"
        shutil.rmtree(snapshot, ignore_errors=True)
        shutil.copytree(
            self._work / name, snapshot, copy_function=_link
        )  # the trainer drops it when it has a newer one
        target = self._fs.join(self._folder, name)
        digests = {file.relative_to(snapshot).as_posix(): sha256(file) for file in _files(snapshot)}
        for path in digests:
            to = self._fs.join(target, path)
            self._fs.makedirs(self._fs.parent(to), exist_ok=True)
            self._fs.put_file(str(snapshot / path), to)
        self._fs.pipe_file(f"{target}.json", json.dumps(digests).encode())
        shutil.rmtree(snapshot)
        for older in self._listed():
            if older < name and older.partition("/")[0] == name.partition("/")[0]:
                self._drop(older)

    def pull(self) -> list[str]:
        """Bring the newest state of each training that is newer than what work/train/ has. Returns their names."""
        newest = {name.partition("/")[0]: name for name in self._listed()}
        return [
            name for name in newest.values() if name > self._newest_here(name.partition("/")[0]) and self._fetch(name)
        ]

    def remove(self) -> None:
        if self._fs.exists(self._folder):
            self._fs.rm(self._folder, recursive=True)

    def here(self) -> set[str]:
        """The states in work/train/, the newest of each training."""
        names = (self._newest_here(folder.name) for folder in self._work.iterdir())
        return set(filter(None, names))

    @contextmanager
    def pushing(self, minutes: float, log: Log) -> Iterator[None]:
        """In the block, push every `minutes` what is new since it began; what fails is told, and tried again."""
        done = threading.Event()
        pushed = self.here()

        def keep() -> None:
            while not done.wait(minutes * 60):
                for name in sorted(self.here() - pushed):
                    try:
                        self.push(name)
                    except Exception as error:  # noqa: BLE001 - a network's; training must not end by it
                        log(
                            f"{name} could not be copied to the DVC remote, tried again in {minutes:g} minutes: {error}"
                        )
                    else:
                        pushed.add(name)
                        log(f"{name} is in the DVC remote: another worker could go on from it")

        # A daemon: a cancelled run does not wait for an upload, half of which is none.
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            done.set()
            raise
        done.set()
        thread.join()

    def _listed(self) -> list[str]:
        """The names of the states that are there, as DIGEST/state-N, in order."""
        if not self._fs.exists(self._folder):
            return []
        paths = (self._fs.relpath(path, self._folder) for path in self._fs.find(self._folder))
        return sorted(self._fs.as_posix(path).removesuffix(".json") for path in paths if _is_list(self._fs.parts(path)))

    def _newest_here(self, training: str) -> str:
        return max((f"{training}/{state.name}" for state in (self._work / training).glob(_STATE)), default="")

    def _fetch(self, name: str) -> bool:
        """Bring one state, whole, or nothing. Returns whether it was good."""
        source, target = self._fs.join(self._folder, name), self._work / name
        beside = target.with_name(f".{target.name}.fetched")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            digests: dict[str, str] = json.loads(self._fs.cat_file(f"{source}.json"))
            for path, digest in digests.items():
                (beside / path).parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self._fs.join(source, path), str(beside / path))
                if sha256(beside / path) != digest:
                    return False
            beside.replace(target)
        except (OSError, ValueError):
            return False
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return True

    def _drop(self, name: str) -> None:
        path = self._fs.join(self._folder, name)
        self._fs.rm_file(f"{path}.json")
        self._fs.rm(path, recursive=True)


def _is_list(parts: Sequence[str]) -> bool:
    return parts[-1].startswith("state-") and parts[-1].endswith(".json")


def _open_remote(workspace: Path) -> tuple[Any, str]:
    """The file system and the folder of the default DVC remote, whatever kind it is, with DVC's own settings for it."""
    from dvc.config import ConfigError  # half a second, and only where something is handed over
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(workspace)) as repo:
            remote = repo.cloud.get_remote()
            return remote.fs, remote.path
    except (DvcException, ConfigError) as error:
        raise FacemaskError(
            f"no DVC remote to hand over through in {workspace} ({' '.join(str(error).split())}): set one, as by "
            "'dvc remote add --default NAME URL', the same on both machines, or set handoff.enabled: false"
        ) from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))
