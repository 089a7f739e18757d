"""A file during its download: hidden, beside its target, with resume information in a JSON file.

folder/a/b.png               finished; never downloaded again
folder/a/.b.png.part         the bytes received so far
folder/a/.b.png.part.json    ResumeInfo: what these bytes are a part of; without it they are discarded
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from pipeline.sources.download.progress import DownloadProgress
from pipeline.sources.download.remote import Remote
from pipeline.sources.download.response import ResumeInfo

_CHUNK_BYTES = 1 << 20


class PartialFile:
    """The partial file of one download, found from an earlier run or new.

    `size` is its length in bytes, `high_water` the largest length that it ever had: a retry made progress only if it
    exceeds that. `info` says what the bytes are a part of.
    """

    def __init__(self, remote: Remote, target: Path, progress: DownloadProgress, info_from_bytes: int) -> None:
        self.remote, self.target = remote, target
        self._progress, self._info_from_bytes = progress, info_from_bytes
        self._path = target.with_name(f".{target.name}.part")
        self._info_path = target.with_name(f".{target.name}.part.json")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        self.size = os.fstat(self._file).st_size
        self.info = self._read_info()
        self._info_is_saved = self.info is not None
        self._finished = False
        self.high_water = 0
        self._digest = self._new_digest()
        if self.can_resume:
            self._read_existing()
        elif self.size:
            self.restart()

    @property
    def can_resume(self) -> bool:
        """Whether the rest can be requested: a validator or a digest must show that it belongs to the same file."""
        return self.size > 0 and self.info is not None and bool(self.info.validator or self.remote.digest)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are on disk already, for example after a kill between the last byte and the check."""
        return self.can_resume and self.info is not None and self.size == self.info.total

    def restart(self) -> None:
        """Discard all bytes."""
        self._progress.correct(-self.size if self.high_water else 0)  # 0: the bytes were not counted yet
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self.size, self._digest = 0, self._new_digest()

    def set_info(self, info: ResumeInfo) -> None:
        """Set what the following bytes are a part of.

        A saved file that says otherwise is removed first, so that it is never wrong, whenever the process is killed.
        """
        if info != self.info:
            if self._info_is_saved:
                self._info_path.unlink(missing_ok=True)
            self.info, self._info_is_saved = info, False

    def save_info(self) -> None:
        """Write the resume information, unless it is written already."""
        if self.info and not self._info_is_saved:
            self._info_path.write_text(json.dumps(asdict(self.info)), encoding="utf-8")
            self._info_is_saved = True

    def append(self, chunk: bytes) -> None:
        """Write a chunk at the end, and update digest and progress."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        if self._digest:
            self._digest.update(chunk)
        self.size += len(chunk)
        self.high_water = max(self.high_water, self.size)
        self._progress.receive(len(chunk))
        if self.size >= self._info_from_bytes:
            self.save_info()

    def adopt(self, complete: Path) -> None:
        """Replace the content by the file `complete`, which gdown wrote."""
        mode = os.fstat(self._file).st_mode  # gdown's file can be read by its owner only
        os.close(self._file)
        complete.replace(self._path)
        self._file = os.open(self._path, os.O_RDWR)
        os.fchmod(self._file, mode)
        self.size, self._digest = os.fstat(self._file).st_size, self._new_digest()
        self._read_existing()

    def mismatch(self) -> str | None:
        """Return how the complete file differs from the expected size or digest, None if it does not."""
        if self.remote.bytes not in (None, self.size):
            return f"the file has {self.size:,} bytes, expected {self.remote.bytes:,}"
        expected = self.remote.expected_digest
        if self._digest and expected and self._digest.hexdigest() != expected[1]:
            return f"the {expected[0]} digest of the file is not the expected one"
        return None

    def finish(self) -> None:
        """Flush the file to disk, then move it to its target: the target is complete whenever it exists."""
        os.fsync(self._file)
        self._path.replace(self.target)
        self._finished = True
        if self._info_is_saved:
            self._info_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; an unfinished one is kept with its resume information, an empty one is removed."""
        os.close(self._file)
        if self._finished:
            return
        if self.size:
            self.save_info()
        else:
            self._path.unlink(missing_ok=True)
            if not self.remote.on_drive:  # on Drive, the information describes gdown's own partial file
                self._info_path.unlink(missing_ok=True)

    def _read_info(self) -> ResumeInfo | None:
        if not self.size and not self.remote.on_drive:
            return None
        try:
            info = ResumeInfo(**json.loads(self._info_path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):  # missing, or cut off by a kill
            return None
        return info if info.url == self.remote.url else None

    def _new_digest(self) -> "hashlib._Hash | None":
        expected = self.remote.expected_digest
        return hashlib.new(expected[0]) if expected else None

    def _read_existing(self) -> None:
        """Count and hash the bytes on disk."""
        self._progress.correct(self.size)
        self.high_water = self.size
        os.lseek(self._file, 0, os.SEEK_SET)
        while self._digest and (chunk := os.read(self._file, _CHUNK_BYTES)):
            self._digest.update(chunk)
        os.lseek(self._file, self.size, os.SEEK_SET)
