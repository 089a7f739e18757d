"""The DVC remote as the hand-off uses it: data of stages, and beside it the training state of unfinished training.

Whoever may write the remote may put anything there (docs/security.md). So a name from there is checked before it
becomes a path, and a file's digest before the file leaves the scratch folder.
"""

import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.processes.dvc_runner import Log, dvc_reason, run_dvc, run_program
from models.training.state_files import STATE_FILES, missing_files
from pipeline.errors import FacemaskError
from pipeline.messages import Message
from pipeline.paths import Paths
from pipeline.storage.files import flush_to_disk, fresh_folder, link_or_copy, sha256

FOLDER = "facemask-training"  # in the remote; all of it may be deleted at any time, at the cost of repeated training

_STATE = re.compile(r"[0-9a-f]{1,64}/state-[0-9]{1,20}")  # DIGEST/state-IMAGES; by name, the last is the newest
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_STATES = 20  # a push deletes older ones: a key has one or two
_MAX_LIST_BYTES = 64 << 10  # a list of the seven files of a state is 0.7 kB
_MAX_FILE_BYTES = 16 << 30  # the largest networks that params.yaml allows have some 1 GB
_RETRY_WAITS_S = (10.0, 60.0)


class _BadState(Exception):
    """A state in the remote that cannot be used; the text says why."""


def push(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Upload `targets` by `dvc push`. Raises FacemaskError with DVC's reason."""
    lines: list[str] = []
    log(f"dvc push {' '.join(targets)}")
    if status := run_dvc(["push", *targets], workspace, _logging(lines, log)):
        raise _failure("push", workspace, dvc_reason(lines) or f"exit status {status}")


def pull(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Download `targets` as dvc.lock names them, verified; what is in their place is replaced, as by `dvc repro`.

    Raises FacemaskError with the reason, for objects that are not what dvc.lock names too.
    """
    lines: list[str] = []
    messages: list[Message] = []
    log(f"dvc pull {' '.join(targets)}")
    command = [sys.executable, "-m", "flows.handoff.verified_pull", *targets]
    if status := run_program(command, workspace, _logging(lines, log), messages.append):
        if errors := [message.text for message in messages if message.kind == "error"]:
            raise FacemaskError(errors[-1])
        raise _failure("pull", workspace, lines[-1] if lines else f"exit status {status}")


def _logging(lines: list[str], log: Log) -> Log:
    """A receiver of output lines that logs and keeps those that are not empty."""

    def on_line(line: str) -> None:
        if line:
            lines.append(line)
            log(line)

    return on_line


def _failure(command: str, workspace: Path, reason: str) -> FacemaskError:
    return FacemaskError(
        f"'dvc {command}' failed in {workspace}: {reason}; "
        "'dvc remote list' shows the remote: can it be reached from here?"
    )


class StateStore:
    """Training states in the DVC remote, under the key of the training (flows/handoff/job.py: training_key).

    A state NAME is DIGEST/state-IMAGES, as in work/train/. REMOTE/facemask-training/KEY/NAME.json, written last, lists
    the files of REMOTE/facemask-training/KEY/NAME/ with their sha256. A state without its list, or with a file that
    does not match it, is not used.
    """

    def __init__(self, workspace: Path, key: str) -> None:
        self._fs, remote = _open_remote(workspace)
        self._folder = self._fs.join(remote, FOLDER, key)
        self._work = Paths(workspace).work("train")
        self._scratch = Paths(workspace).work("handoff")

    def push(self, name: str) -> None:
        """Upload the state work/train/NAME, then delete the older ones of its training from the remote."""
        snapshot = self._scratch / "state"
        shutil.rmtree(snapshot, ignore_errors=True)
        # Links: the trainer deletes a state when it has a newer one.
        shutil.copytree(self._work / name, snapshot, copy_function=lambda a, b: link_or_copy(Path(a), Path(b)))
        digests = {file.name: sha256(file) for file in sorted(snapshot.iterdir())}
        if digests.keys() - STATE_FILES or missing_files(digests):
            raise FacemaskError(
                f"{self._work / name} is no training state, it has {', '.join(digests) or 'no files'}: delete it"
            )
        target = self._fs.join(self._folder, name)
        self._fs.makedirs(target, exist_ok=True)
        for path in digests:
            self._fs.put_file(str(snapshot / path), self._fs.join(target, path))
        self._fs.pipe_file(f"{target}.json", json.dumps(digests).encode())
        shutil.rmtree(snapshot)
        for older in self._names()[0]:
            if older < name and older.partition("/")[0] == name.partition("/")[0]:
                self._delete(older)

    def pull(self, log: Log = print) -> list[str]:
        """Download the newest good state of each training that is newer than the one in work/train/. Returns the names.

        A state that is incomplete, altered or has other names than the trainer's is skipped, with a line to `log`.
        Raises whatever the remote's file system raises where it cannot be read. Nothing is deleted from the remote.
        """
        names, odd = self._names()
        if odd:
            shown = ", ".join(map(_shown, odd[:3])) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
            log(f"training state {shown} in the DVC remote is not used: the trainer gives no such name")
        if len(names) > _MAX_STATES:
            log(f"the DVC remote has {len(names)} training states in {self._folder}: {_MAX_STATES} of them are tried")
        fetched: list[str] = []
        for name in reversed(names[-_MAX_STATES:]):
            if name <= self._newest_here(name.partition("/")[0]):
                continue
            try:
                self._fetch(name)
            except _BadState as error:
                log(f"training state {name} in the DVC remote is not used: {error}")
            else:
                fetched.append(name)
        return sorted(fetched)

    def resume(self, log: Log) -> None:
        """Do `pull`, with a line for each state. A remote that cannot be read is tried three times in all.

        Raises FacemaskError if it still cannot be read.
        """
        for wait_s in (*_RETRY_WAITS_S, None):
            try:
                names = self.pull(log)
            except Exception as error:  # of the network: each kind of remote has its own exceptions
                reason = " ".join(str(error).split()) or type(error).__name__
                if wait_s is None:
                    raise FacemaskError(
                        f"training states in the DVC remote cannot be read ({reason}), and stay there: "
                        "run again when it can be reached"
                    ) from error
                log(f"training states in the DVC remote cannot be read, next try in {wait_s:g} s: {reason}")
                time.sleep(wait_s)
            else:
                for name in names:
                    log(f"going on from {name}, which a worker left in the DVC remote")
                return

    def remove(self) -> None:
        """Delete all states of this key from the remote: only when its training has ended."""
        if self._is_there(self._folder):
            self._fs.rm(self._folder, recursive=True)

    def remove_superseded(self) -> None:
        """Delete from the remote the states of which work/train/ has the same or a newer one of that training."""
        for name in self._names()[0]:
            if name <= self._newest_here(name.partition("/")[0]):
                self._delete(name)

    @contextmanager
    def pushing(self, minutes: float, log: Log) -> Iterator[None]:
        """In the block, upload new states every `minutes`; failures are logged, and retried."""
        done = threading.Event()
        pushed = self._states_here()

        def push_new() -> None:
            while not done.wait(minutes * 60):
                for name in sorted(self._states_here() - pushed):
                    try:
                        self.push(name)
                    except Exception as error:  # noqa: BLE001 - of the network; training must not end by it
                        log(f"{name} could not be copied to the DVC remote, next try in {minutes:g} minutes: {error}")
                    else:
                        pushed.add(name)
                        log(f"{name} is in the DVC remote: another worker could go on from it")

        # A daemon: a cancelled run does not wait for an upload, since half a state is never used.
        thread = threading.Thread(target=push_new, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            done.set()
            raise
        done.set()
        thread.join()

    def _states_here(self) -> set[str]:
        """The states in work/train/, the newest of each training."""
        return set(filter(None, (self._newest_here(folder.name) for folder in self._work.iterdir())))

    def _newest_here(self, training: str) -> str:
        return max((f"{training}/{state.name}" for state in (self._work / training).glob("state-*")), default="")

    def _names(self) -> tuple[list[str], list[str]]:
        """The names of the states in the remote, in order: the trainer's own, and those that must not be used."""
        names: dict[bool, list[str]] = {True: [], False: []}
        if self._is_there(self._folder):
            for path in self._fs.find(self._folder):
                name = self._fs.as_posix(self._fs.relpath(path, self._folder))
                if name.endswith(".json") and name.rpartition("/")[2].startswith("state-"):  # else a file of a state
                    name = name.removesuffix(".json")
                    names[bool(_STATE.fullmatch(name))].append(name)
        return sorted(names[True]), sorted(names[False])

    def _is_there(self, path: str) -> bool:
        """Whether the remote has a file or folder. Raises where it cannot be read, unlike fsspec's `exists`."""
        try:
            self._fs.info(path)
        except FileNotFoundError:
            return False
        return True

    def _fetch(self, name: str) -> None:
        """Bring one state into work/train/, whole or not at all. Raises _BadState for one that cannot be used."""
        scratch = fresh_folder(self._scratch / "fetched")
        try:
            for file, digest in self._digests(name).items():
                path = self._fs.join(self._folder, name, file)
                self._refuse_odd_file(path, _MAX_FILE_BYTES)
                self._fs.get_file(path, str(scratch / file))
                if sha256(scratch / file) != digest:
                    raise _BadState(f"{file} does not have the sha256 that its list names")
            target = self._work / name
            target.parent.mkdir(exist_ok=True)
            # On disk before the copy in the remote may be deleted.
            for path in (*scratch.iterdir(), scratch):
                flush_to_disk(path)
            scratch.replace(target)
            flush_to_disk(target.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _digests(self, name: str) -> dict[str, str]:
        """File -> sha256 of one state, from its list in the remote."""
        path = self._fs.join(self._folder, f"{name}.json")
        self._refuse_odd_file(path, _MAX_LIST_BYTES)
        try:
            digests = json.loads(self._fs.cat_file(path, 0, _MAX_LIST_BYTES))
        except (ValueError, RecursionError) as error:
            raise _BadState("its list is not whole, or no JSON") from error
        if not isinstance(digests, dict):
            raise _BadState("its list is no JSON object")
        if unknown := sorted(digests.keys() - STATE_FILES):
            raise _BadState(f"it lists {_shown(unknown[0])}, which is no file of a state")
        if missing := missing_files(digests):
            raise _BadState(f"it lists no {missing[0]}")
        if not all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in digests.values()):
            raise _BadState("its list names other things than sha256 digests")
        return digests

    def _refuse_odd_file(self, path: str, max_bytes: int) -> None:
        """Raise _BadState for a file in the remote that is missing, empty, too large, or none (a FIFO hangs)."""
        name = self._fs.name(path)
        try:
            info = self._fs.info(path)
        except FileNotFoundError as error:
            raise _BadState(f"{name} is missing") from error
        if info["type"] != "file":
            raise _BadState(f"{name} is no plain file")
        if not 0 < info["size"] <= max_bytes:
            raise _BadState(f"{name} has {info['size']} bytes, not 1 to {max_bytes} as any state's")

    def _delete(self, name: str) -> None:
        """Delete one state from the remote, its list first: half of it is then no state."""
        path = self._fs.join(self._folder, name)
        self._fs.rm_file(f"{path}.json")
        if self._is_there(path):
            self._fs.rm(path, recursive=True)


def _shown(name: str) -> str:
    """A name from the remote for a line of a log: quoted, without control characters, of limited length."""
    return ascii(name if len(name) <= 100 else f"{name[:100]}...")


def _open_remote(workspace: Path) -> tuple[Any, str]:
    """The file system and the folder of the default DVC remote, of whatever kind, with DVC's settings for it."""
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
