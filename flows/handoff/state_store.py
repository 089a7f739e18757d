"""The DVC remote as the hand-off uses it: data of stages, and beside it the training state of unfinished training.

Whoever may write the remote may put anything there (docs/security.md). So a name from there is checked before it
becomes a path, and a file's digest before anything is taken out of it.
"""

import re
import shutil
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.processes.dvc_runner import Log, ignore, run_dvc, run_program
from models.training.state_files import STATES, is_whole_state
from pipeline.errors import FacemaskError, one_line
from pipeline.paths import Paths
from pipeline.storage.files import flush_to_disk, fresh_folder, link_or_copy, sha256

FOLDER = "facemask-training"  # in the remote; all of it may be deleted at any time, at the cost of repeated training

_STATE = re.compile(r"(([0-9a-f]{1,64})/state-[0-9]{1,20})-([0-9a-f]{64})\.tar")  # DIGEST/state-IMAGES-SHA256.tar
_MAX_STATES = 20  # a push deletes older ones: a key has one or two
_MAX_BYTES = 16 << 30  # the largest networks that params.yaml allows have some 1 GB each
_RETRY_WAITS_S = (10.0, 60.0)


def push(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Upload `targets` by `dvc push`. Raises FacemaskError with DVC's reason."""
    log(f"dvc push {' '.join(targets)}")
    ended = run_dvc(["push", *targets], workspace, log)
    if ended.status:
        raise FacemaskError(
            f"'dvc push' failed in {workspace}: {ended.reason}; "
            "'dvc remote list' shows the remote: can it be reached from here?"
        )


def pull(targets: Sequence[str], workspace: Path, log: Log) -> None:
    """Download `targets` as dvc.lock names them, verified; what is in their place is replaced, as by `dvc repro`.

    Raises FacemaskError with the reason, for objects that are not what dvc.lock names too.
    """
    log(f"dvc pull {' '.join(targets)}")
    ended = run_program([sys.executable, "-m", "flows.handoff.verified_pull", *targets], workspace, log)
    if ended.status:
        raise FacemaskError(ended.reason)


class _BadState(Exception):
    """A state in the remote that cannot be used; the text says why."""


@dataclass(frozen=True, order=True)
class _State:
    """A training state in the remote. States of one training are in the order of their names."""

    name: str  # DIGEST/state-IMAGES, as in work/train/
    training: str  # DIGEST
    sha256: str
    path: str


class StateStore:
    """Training states in the DVC remote, under the key of the training (flows/handoff/job.py: training_key).

    The state NAME is the file REMOTE/facemask-training/KEY/NAME-SHA256.tar. One that has another SHA-256, or other
    files than a state, is not used.
    """

    def __init__(self, workspace: Path, key: str) -> None:
        self._fs, remote = _open_remote(workspace)
        self._folder = self._fs.join(remote, FOLDER, key)
        self._work = Paths(workspace).work("train")
        self._paths = Paths(workspace)
        fresh_folder(self._paths.work("handoff"))  # removes what a killed run left

    def push(self, name: str) -> None:
        """Upload the state work/train/NAME, then delete the older ones of its training from the remote."""
        with TemporaryDirectory(dir=self._paths.work("handoff")) as scratch:
            packed, snapshot = Path(scratch, "state.tar"), Path(scratch, "state")
            # Links: the trainer deletes a state when it has a newer one.
            shutil.copytree(self._work / name, snapshot, copy_function=lambda a, b: link_or_copy(Path(a), Path(b)))
            files = sorted(path.name for path in snapshot.iterdir())
            if not is_whole_state(files):
                raise FacemaskError(
                    f"{self._work / name} is no training state, it has {', '.join(files) or 'no files'}: delete it"
                )
            with tarfile.open(packed, "w") as tar:
                for file in files:
                    tar.add(snapshot / file, file)
            path = self._fs.join(self._folder, f"{name}-{sha256(packed)}.tar")
            self._fs.makedirs(self._fs.parent(path), exist_ok=True)
            self._fs.put_file(str(packed), path)
        for older in self._states():
            if older.training == name.partition("/")[0] and older.name < name:
                self._fs.rm_file(older.path)

    def pull(self, log: Log = ignore) -> list[str]:
        """Download the newest good state of each training that is newer than the one in work/train/. Returns the names.

        A state that is incomplete, altered or has other names than the trainer's is skipped, with a line to `log`.
        Raises whatever the remote's file system raises where it cannot be read. Nothing is deleted from the remote.
        """
        fetched: list[str] = []
        for state in reversed(self._states(log)[-_MAX_STATES:]):
            if state.name <= self._newest_here(state.training):
                continue
            try:
                self._fetch(state)
            except _BadState as error:
                log(f"training state {state.name} in the DVC remote is not used: {error}")
            else:
                fetched.append(state.name)
                log(f"going on from {state.name}, which a worker left in the DVC remote")
        return sorted(fetched)

    def resume(self, log: Log) -> None:
        """Do `pull`. A remote that cannot be read is tried three times in all.

        Raises FacemaskError if it still cannot be read.
        """
        for wait_s in (*_RETRY_WAITS_S, None):
            try:
                self.pull(log)
                return
            except Exception as error:  # of the network: each kind of remote has its own exceptions
                reason = f"training states in the DVC remote cannot be read ({one_line(error)})"
                if wait_s is None:
                    raise FacemaskError(f"{reason}, and stay there: run again when it can be reached") from error
                log(f"{reason}: next try in {wait_s:g} s")
                time.sleep(wait_s)

    def remove(self, log: Log, superseded_only: bool = False) -> None:
        """Delete the states from the remote, now that the training has ended; a failure is logged, and does no harm.

        `superseded_only`: those of which work/train/ has the same or a newer one of that training.
        """
        try:
            for state in self._states():
                if not superseded_only or state.name <= self._newest_here(state.training):
                    self._fs.rm_file(state.path)
        except Exception as error:  # noqa: BLE001 - of the network
            log(f"training states could not be deleted from the DVC remote, where nothing needs them any more: {error}")

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

    def _states(self, log: Log = ignore) -> list[_State]:
        """The states in the remote, in order. One line to `log` names files that no push has made."""
        try:
            self._fs.info(self._folder)  # raises where the remote cannot be read, unlike fsspec's `exists` and `find`
        except FileNotFoundError:
            return []
        states, others = [], []
        for path in self._fs.find(self._folder):
            name = self._fs.as_posix(self._fs.relpath(path, self._folder))
            if match := _STATE.fullmatch(name):
                states.append(_State(name=match[1], training=match[2], sha256=match[3], path=path))
            else:
                others.append(ascii(name[:100]))  # without control characters, and of limited length
        if others:
            log(f"no training states, and not used: {len(others)} files in the DVC remote, as {others[0]}")
        return sorted(states)

    def _fetch(self, state: _State) -> None:
        """Bring one state into work/train/, whole or not at all. Raises _BadState for one that cannot be used."""
        info = self._fs.info(state.path)
        if info["type"] != "file" or not 0 < info["size"] <= _MAX_BYTES:  # a FIFO would hang
            raise _BadState(f"it is no file of 1 to {_MAX_BYTES} bytes")
        with TemporaryDirectory(dir=self._paths.work("handoff")) as scratch:
            packed, unpacked = Path(scratch, "state.tar"), Path(scratch, "state")
            self._fs.get_file(state.path, str(packed))
            if sha256(packed) != state.sha256:
                raise _BadState("it does not have the SHA-256 that its name has")
            _unpack(packed, unpacked)
            target = self._work / state.name
            target.parent.mkdir(exist_ok=True)
            # On disk before the copy in the remote may be deleted.
            for path in (*unpacked.iterdir(), unpacked):
                flush_to_disk(path)
            unpacked.replace(target)
            flush_to_disk(target.parent)


def _unpack(packed: Path, folder: Path) -> None:
    """Take the files of a state, and nothing else, out of a tar file. Raises _BadState where it has others."""
    try:
        with tarfile.open(packed, "r:") as tar:
            kinds = [sorted(files) for files in STATES]
            while any(kinds):
                member, file = tar.next(), kinds[0][0]
                kinds = [files[1:] for files in kinds if member is not None and member.name == files[0]]
                if member is None or not kinds or not member.isreg() or member.issparse():
                    raise _BadState(f"{file} is not where a state has it")
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, ValueError) as error:
        raise _BadState(f"it is no whole tar file ({one_line(error)})") from error


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
            f"no DVC remote to hand over through in {workspace} ({one_line(error)}): set one, as by "
            "'dvc remote add --default NAME URL', the same on both machines, or set handoff.enabled: false"
        ) from error
