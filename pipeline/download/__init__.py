"""Many files at once, each whole or not there: fetched, checked, flushed to disk, moved into place.

folder/a/b.png               whole: it is never fetched again
folder/a/.b.png.part         what has come of it so far
folder/a/.b.png.part.json    what that is a part of; without this note it is worth nothing
"""

import fcntl
import hashlib
import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pipeline.download.answers import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    Answer,
    Broken,
    Changed,
    Chunk,
    Note,
    Refused,
    Stopped,
    forget_drive,
    from_drive,
    over_fsspec,
    over_http,
)
from pipeline.download.wire import transport
from pipeline.errors import FacemaskError

TRIES_WITHOUT_A_BYTE = 5  # in a row
TRIES_IN_ALL = 100  # of one file
TRIES_OF_WRONG_BYTES = 3
TRIES_TO_REACH = 3  # a host that never answered
TRIES_TO_REACH_AGAIN = 8  # one that did: a network that is gone for a minute ends no long download
GIVE_UP_HOST = 3  # files in a row that a host refused, or for which it could not be reached
BACK_OFF_S = 1.0  # doubled with each try, up to
LONGEST_BACK_OFF_S = 30.0
EVERY_S = 2.0  # progress is told
LEAVE_S = 1.0  # threads get to end when the user stops it; one that waits for a server is left behind
NOTE_FROM = 4 << 20  # bytes: a smaller part is fetched anew after a kill, for less than what its note would cost
_CHUNK = 1 << 20
_DRIVE = "drive:"
_DIGESTS = {"md5": 32, "sha256": 64}  # hex digits


@dataclass(frozen=True)
class Remote:
    """A file that lies elsewhere.

    `path` says where it goes in the folder, with /. `url` is http(s)://..., drive:FILE_ID (Google Drive), or any other
    address that fsspec opens. `bytes` and `digest` ("md5:HEX" or "sha256:HEX") are checked where they are known.
    """

    path: str
    url: str
    bytes: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Failure:
    """A file that did not come; `reason` is one line: why, and when or how to try again."""

    remote: Remote
    reason: str


def download(files: Iterable[Remote], folder: Path, name: str, at_once: int = 8) -> list[Failure]:
    """Bring all files to folder/PATH; what lies there already is whole and is not fetched again.

    Returns what did not come, in the order of `files`. The same call goes on after any kind of end. ValueError for a
    path that leaves the folder or stands twice with different addresses; FacemaskError if this machine's disk fails.
    """
    wanted = _checked(files)
    try:
        todo = [remote for path, remote in wanted.items() if not (folder / path).exists()]
        if not todo:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            return _Run(todo, folder, name).run(at_once)
    except OSError as error:
        raise FacemaskError(
            f"{name}: {folder} cannot be written ({error.strerror or error}): free space or give access, "
            "then run the same command again: what is whole is kept"
        ) from error


def _checked(files: Iterable[Remote]) -> dict[str, Remote]:
    wanted: dict[str, Remote] = {}
    for remote in files:
        if {"", ".", ".."} & set(remote.path.split("/")) or "\0" in remote.path:
            raise ValueError(f"'{remote.path}' does not stay in the folder")
        if wanted.setdefault(remote.path, remote) != remote:
            raise ValueError(f"'{remote.path}' stands twice in the list, with different addresses, sizes or digests")
        kind, _, digits = (remote.digest or "").partition(":")
        if remote.digest is not None and len(digits) != _DIGESTS.get(kind):
            raise ValueError(f"'{remote.digest}' is no digest: md5:HEX or sha256:HEX")
    return wanted


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two downloads at a time would write the same parts."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FacemaskError(f"another download into {folder} is under way: wait until it ends") from error
        except OSError:
            pass  # a network disk without locks
        yield
    finally:
        os.close(handle)


class _Host:
    """What is known of a host, shared by all threads."""

    def __init__(self) -> None:
        self.reached = False
        self.in_a_row = 0
        self.gives_nothing: str | None = None  # the reason, once it is given up

    def answered(self) -> None:
        self.reached, self.in_a_row = True, 0

    def failed(self, reason: str) -> None:
        self.in_a_row += 1
        if self.in_a_row >= GIVE_UP_HOST:
            self.gives_nothing = reason


class _Progress:
    """Prints `NAME: 10 of 40 files, 9.9 of 41.2 MB, 3.3 MB/s, 9 s left, 2 failed`; shared by all threads."""

    def __init__(self, name: str, todo: list[Remote]) -> None:
        sizes = [remote.bytes for remote in todo]
        self.name, self.files = name, len(todo)
        self.bytes = None if None in sizes else sum(size or 0 for size in sizes)
        self.done, self.failed = 0, 0
        self.here, self.came = 0, 0  # bytes on disk, those of earlier runs with them; bytes that came over the network
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def add(self, came: int) -> None:
        with self.lock:
            self.came += came
            self.here += came

    def move(self, here: int) -> None:
        """Bytes found on disk, or (below 0) thrown away."""
        with self.lock:
            self.here += here

    def end(self, whole: bool) -> None:
        with self.lock:
            self.done += whole
            self.failed += not whole

    def tell(self) -> None:
        passed = max(time.monotonic() - self.started, 1e-3)
        ended = self.done + self.failed
        of = "" if self.bytes is None else f" of {self.bytes / 1e6:,.1f}"
        line = f"{self.name}: {self.done:,} of {self.files:,} files, {self.here / 1e6:,.1f}{of} MB"
        line += f", {self.came / passed / 1e6:.1f} MB/s"
        if ended < self.files and self.bytes is not None and self.came:
            line += f", {max(0, self.bytes - self.here) * passed / self.came:.0f} s left"
        elif 0 < ended < self.files:
            line += f", {(self.files - ended) * passed / ended:.0f} s left"
        print(line + (f", {self.failed:,} failed" if self.failed else ""), flush=True)


class _Part:
    """The hidden file beside the target that grows until it is whole, and the note of what it is a part of."""

    def __init__(self, remote: Remote, target: Path, progress: _Progress) -> None:
        self.remote, self.target, self._progress = remote, target, progress
        self.path = target.with_name(f".{target.name}.part")
        self.note_path = target.with_name(f".{target.name}.part.json")
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self.size = os.fstat(self.file).st_size
        self.note = self._read_note()
        self._noted = self.note is not None
        self.whole = False
        self.most = 0  # bytes it ever had: only more than that is progress
        self._digest = self._new_digest()
        if self.resumes():
            self._found()
        elif self.size:
            self.restart()

    def _read_note(self) -> Note | None:
        if not self.size and not self.remote.url.startswith(_DRIVE):
            return None
        try:
            note = Note(**json.loads(self.note_path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):  # none, or half written by a killed process
            return None
        return note if note.url == self.remote.url else None

    def resumes(self) -> bool:
        """Whether the rest can be asked for: without a validator only a digest tells if it is of the same file."""
        return self.size > 0 and self.note is not None and bool(self.note.validator or self.remote.digest)

    def _new_digest(self) -> "hashlib._Hash | None":
        return hashlib.new(self.remote.digest.partition(":")[0]) if self.remote.digest else None

    def _found(self) -> None:
        self._progress.move(self.size)
        self.most = self.size
        os.lseek(self.file, 0, os.SEEK_SET)
        while self._digest and (chunk := os.read(self.file, _CHUNK)):
            self._digest.update(chunk)
        os.lseek(self.file, self.size, os.SEEK_SET)

    def restart(self) -> None:
        """Begin anew, with nothing."""
        self._progress.move(-self.size if self.most else 0)  # `most` is 0 before its bytes are counted
        os.ftruncate(self.file, 0)
        os.lseek(self.file, 0, os.SEEK_SET)
        self.size, self._digest = 0, self._new_digest()

    def begin(self, note: Note) -> None:
        """Say what the bytes are of that come next."""
        if note != self.note:
            if self._noted:
                self.note_path.unlink(missing_ok=True)  # before the first of them: a note is true after any kill
            self.note, self._noted = note, False

    def keep_note(self) -> None:
        if self.note and not self._noted:
            self.note_path.write_text(json.dumps(asdict(self.note)))
            self._noted = True

    def append(self, chunk: Chunk) -> None:
        left = memoryview(chunk)
        while left:
            left = left[os.write(self.file, left) :]
        if self._digest:
            self._digest.update(chunk)
        self.size += len(chunk)
        self.most = max(self.most, self.size)
        self._progress.add(len(chunk))
        if self.size >= NOTE_FROM:
            self.keep_note()

    def adopt(self, whole: Path) -> None:
        """Take the whole file that gdown wrote."""
        mode = os.fstat(self.file).st_mode  # gdown's is for the owner alone
        os.close(self.file)
        whole.replace(self.path)
        self.file = os.open(self.path, os.O_RDWR)
        os.fchmod(self.file, mode)
        self.size, self._digest = os.fstat(self.file).st_size, self._new_digest()
        self._found()

    def wrong(self) -> str | None:
        """What is wrong with the bytes, now that there are no more to come."""
        if self.remote.bytes not in (None, self.size):
            return f"it has {self.size:,} bytes where the list says {self.remote.bytes:,}"
        kind, _, digits = (self.remote.digest or "").partition(":")
        if self._digest and self._digest.hexdigest() != digits.lower():
            return f"its bytes do not have the list's {kind}"
        return None

    def finish(self) -> None:
        """Into place, where it is whole or not at all: so on the disk itself before it gets its name."""
        os.fsync(self.file)
        self.path.replace(self.target)
        self.whole = True
        if self._noted:
            self.note_path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self.file)
        if self.whole:
            return
        if self.size:
            self.keep_note()
        else:
            self.path.unlink(missing_ok=True)
            if not self.remote.url.startswith(_DRIVE):  # there it tells of gdown's part
                self.note_path.unlink(missing_ok=True)


class _Wrong(Broken):
    """All bytes came, but not the right ones."""


class _Run:
    """One call of download()."""

    def __init__(self, todo: list[Remote], folder: Path, name: str) -> None:
        self._todo, self._folder = deque(enumerate(todo)), folder
        self._progress = _Progress(name, todo)
        self._failures: dict[int, Failure] = {}
        self._hosts: dict[str, _Host] = {}
        self._parents: set[Path] = set()
        self._stop = threading.Event()
        self._ended = threading.Semaphore(0)
        self._trouble: BaseException | None = None

    def run(self, at_once: int) -> list[Failure]:
        count = min(at_once, len(self._todo))
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # Daemons: a thread that waits for a server must not hold up the end of a stopped program.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        self._client = httpx.Client(
            transport=transport(),
            timeout=timeout,
            limits=httpx.Limits(max_connections=count, max_keepalive_connections=count),
            follow_redirects=True,
            max_redirects=10,
            headers={"Accept-Encoding": "identity", "User-Agent": "facemask"},
        )
        try:
            for thread in threads:
                thread.start()
            left = count
            while left and not self._trouble:
                if self._ended.acquire(timeout=EVERY_S):
                    left -= 1
                else:
                    self._progress.tell()
        finally:
            self._stop.set()
            until = time.monotonic() + LEAVE_S
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
            self._client.close()
            self._progress.tell()
        if self._trouble:
            raise self._trouble
        return [failure for _, failure in sorted(self._failures.items())]

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    number, remote = self._todo.popleft()
                except IndexError:
                    break
                reason = self._bring(remote)
                if reason is not None:
                    self._failures[number] = Failure(remote, reason)
                self._progress.end(whole=reason is None)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  it is raised where the user waits for the end
            self._trouble = self._trouble or error
            self._stop.set()
        finally:
            self._ended.release()

    def _bring(self, remote: Remote) -> str | None:
        """Bring one file; returns why it did not come."""
        host = self._hosts.setdefault(_host_of(remote.url), _Host())
        if host.gives_nothing:
            return host.gives_nothing
        target = self._folder / remote.path
        if target.parent not in self._parents:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._parents.add(target.parent)
        part = _Part(remote, target, self._progress)
        try:
            return self._try_on(part, host)
        finally:
            part.close()

    def _try_on(self, part: _Part, host: _Host) -> str | None:
        in_vain, wrong = 0, 0
        for _ in range(TRIES_IN_ALL):
            if host.gives_nothing:
                return host.gives_nothing
            most = part.most
            try:
                self._try(part)
                host.answered()
                return None
            except Refused as refused:
                if refused.for_all:
                    host.failed(refused.reason)
                else:
                    host.answered()
                return refused.reason
            except Broken as broken:
                error = broken
            in_vain = 0 if part.most > most else in_vain + 1
            if isinstance(error, _Wrong):
                wrong += 1
            if not error.unreachable:
                host.answered()
            tries = TRIES_WITHOUT_A_BYTE
            if error.unreachable:
                tries = TRIES_TO_REACH_AGAIN if host.reached else TRIES_TO_REACH
            if in_vain >= tries or wrong >= TRIES_OF_WRONG_BYTES:
                break
            # The whole range is drawn from: those that broke off together do not come back together.
            back_off = random.uniform(0, min(LONGEST_BACK_OFF_S, BACK_OFF_S * 2**in_vain))
            if self._stop.wait(error.wait_s + back_off):
                raise Stopped
        reason = f"{error.reason}: run the same command again"
        if error.unreachable:
            host.failed(reason)
        return reason

    def _try(self, part: _Part) -> None:
        """Bring the rest of a file, check it and move it into place."""
        # Nothing to fetch where the process was killed between the last byte and the check.
        if not (part.resumes() and part.note and part.size == part.note.total):
            try:
                self._fetch(part)
            except Changed:
                part.restart()
                raise
        if part.note and part.note.total not in (None, part.size):
            raise Broken("it broke off before its end")
        if wrong := part.wrong():
            part.restart()
            raise _Wrong(wrong)
        part.finish()

    def _fetch(self, part: _Part) -> None:
        url = part.remote.url
        if part.size and not part.resumes():
            part.restart()
        if url.startswith(_DRIVE):
            self._fetch_from_drive(part)
        elif url.lower().startswith(("http://", "https://")):
            with over_http(self._client, url, part.size, part.note) as answer:
                self._copy(answer, part)
        else:
            with over_fsspec(url, part.size, part.note) as answer:
                self._copy(answer, part)

    def _copy(self, answer: Answer, part: _Part) -> None:
        size = part.remote.bytes
        if size is not None and answer.note.total not in (None, size):
            part.restart()
            raise _Wrong(f"the server has {answer.note.total:,} bytes of it where the list says {size:,}")
        if answer.start != part.size:  # the file changed, or the server does not know ranges
            part.restart()
        part.begin(answer.note)
        for chunk in answer.chunks:
            if self._stop.is_set():
                raise Stopped
            part.append(chunk)
            if size is not None and part.size > size:
                break  # without end, maybe

    def _fetch_from_drive(self, part: _Part) -> None:
        file_id = part.remote.url.removeprefix(_DRIVE)
        beside = part.target.with_name(f".{part.target.name}.drive")
        counted = 0

        def seen(here: int, total: int | None) -> None:
            nonlocal counted
            # gdown resumes without knowing what its part is of: another length shows another file.
            if part.note and None not in (total, part.note.total) and total != part.note.total:
                raise Changed("the file changed while it was fetched")
            part.begin(Note(part.remote.url, file_id, total))
            part.keep_note()
            part.most = max(part.most, here)
            self._progress.add(here - counted)
            counted = here

        try:
            from_drive(file_id, beside, self._stop, seen)
        except Changed:
            forget_drive(beside)
            part.note = None
            raise
        finally:
            self._progress.move(-counted)  # what came whole is counted once it is adopted
        part.adopt(beside)


def _host_of(url: str) -> str:
    """What stands or falls together: a server, Google Drive, a kind of store."""
    try:
        split = urlsplit(url)
    except ValueError:  # no address at all: opening it says so
        return url
    return split.netloc if split.scheme in ("http", "https") else split.scheme
