"""Writes a clip: H.264 and the sound of its source with FFmpeg, or without it MPEG-4 without sound, by OpenCV."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.storage.files import real_path

_CRF = "18"  # of x264: no difference is seen
_QUIET = ("-hide_banner", "-loglevel", "error", "-y")
_LOCAL = ("-protocol_whitelist", "file,pipe")  # a container may name other files and servers
# Codes of ISO 23091-2 for FFmpeg's names. OpenCV decodes with the matrix that the source states, so that the result is
# encoded with it, and states it too.
_COLOUR_CODES = {
    "bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020nc": 9, "bt2020": 9, "smpte2084": 16, "arib-std-b67": 18,
}  # fmt: skip
_COLOURS = re.compile(r"Video: .*?\((?:tv|pc), ?([\w-]+)(?:/([\w-]+)/([\w-]+))?")

_SOUND = re.compile(r"Stream #.*Audio: (\w+)")
_PLAYED = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}  # codecs that players know in MP4

WriteFrame = Callable[[NDArray[np.uint8]], None]
"""Appends a frame (H, W, 3) RGB."""


@cache
def find_ffmpeg() -> str | None:
    """The FFmpeg of the package imageio-ffmpeg, else the one on PATH; None if there is none."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # not installed; or without a program for this machine
        return shutil.which("ffmpeg")


@contextmanager
def open_silent_clip(path: Path, size: tuple[int, int], fps: Fraction, source: Path) -> Iterator[WriteFrame]:
    """Yield a function that appends frames of a size, width and height in px, to a new MP4 file without sound.

    Sides that are odd become longer by a pixel, which the codecs need. The colours are stated as in `source`.
    Raises FacemaskError if the file cannot be written.
    """
    width, height = size
    right, below = width % 2, height % 2
    even = (width + right, height + below)
    ffmpeg = find_ffmpeg()
    opened = _with_opencv(path, even, fps) if ffmpeg is None else _with_ffmpeg(ffmpeg, path, even, fps, source)
    with opened as write:

        def write_even(frame: NDArray[np.uint8]) -> None:
            if right or below:
                frame = np.asarray(cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
            write(frame)

        yield write_even


def add_sound(silent: Path, source: Path, target: Path) -> str:
    """Write `silent` with the sound and the tags of `source` to `target`; return what is lost, mostly nothing.

    The sound is copied, or, where players do not know it in MP4, encoded as AAC.
    """
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        shutil.copyfile(silent, target)
        return "it has no sound, and is MPEG-4 Part 2: `pip install imageio-ffmpeg` keeps sound, and gives H.264"
    inputs = (*_LOCAL, "-i", _named(silent), *_LOCAL, "-i", _named(source))
    streams = ("-map", "0:v:0", "-map", "1:a?", "-map_metadata", "1", "-map_chapters", "-1", "-c:v", "copy")
    playable = set(_SOUND.findall(_described(ffmpeg, source))) <= _PLAYED
    for codec in ("copy", "aac") if playable else ("aac",):
        command = [ffmpeg, *_QUIET, "-nostdin", *inputs, *streams, "-c:a", codec]
        command += ["-movflags", "+faststart", "-f", "mp4", _named(target)]
        done = subprocess.run(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return ""
    shutil.copyfile(silent, target)
    return f"it has no sound: FFmpeg cannot read that of the clip ({_last_line(done.stderr)})"


@contextmanager
def _with_ffmpeg(ffmpeg: str, path: Path, size: tuple[int, int], fps: Fraction, source: Path) -> Iterator[WriteFrame]:
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*size), "-r", str(fps), "-i", "pipe:0")
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-crf", _CRF, "-pix_fmt", "yuv420p")
    command = [ffmpeg, *_QUIET, *raw, *codec, *_stated_colours(ffmpeg, source), "-f", "mp4", _named(path)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        assert process.stdin is not None
        try:
            pipe = process.stdin
            try:
                yield lambda frame: _write_all(pipe, frame)
                pipe.close()
            except BrokenPipeError:
                process.wait()
            if process.wait():
                told = _last_line(os.pread(log.fileno(), 1 << 20, 0))
                raise FacemaskError(f"FFmpeg cannot write the clip to {path.parent}: {told}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _write_all(pipe: IO[bytes], frame: NDArray[np.uint8]) -> None:
    pipe.write(np.ascontiguousarray(frame).data)


@contextmanager
def _with_opencv(path: Path, size: tuple[int, int], fps: Fraction) -> Iterator[WriteFrame]:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), float(fps), size)
    try:
        if not writer.isOpened():
            raise FacemaskError(f"no clip can be written to {path.parent}: choose another --out")
        yield lambda frame: _append(writer, frame)
    finally:
        writer.release()


def _append(writer: cv2.VideoWriter, frame: NDArray[np.uint8]) -> None:
    writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def _described(ffmpeg: str, source: Path) -> str:
    """What FFmpeg prints about a clip."""
    command = [ffmpeg, "-hide_banner", "-nostdin", *_LOCAL, "-i", _named(source)]
    done = subprocess.run(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return done.stderr.decode(errors="replace")


def _stated_colours(ffmpeg: str, source: Path) -> list[str]:
    """Options by which the result states the colours that `source` states."""
    match = _COLOURS.search(_described(ffmpeg, source))
    if match is None:
        return []
    matrix, primaries, transfer = match[1], match[2] or match[1], match[3] or match[1]
    fields = {"matrix_coefficients": matrix, "colour_primaries": primaries, "transfer_characteristics": transfer}
    stated = [f"{field}={_COLOUR_CODES[name]}" for field, name in fields.items() if name in _COLOUR_CODES]
    filters = ["-vf", f"scale=out_color_matrix={matrix.removesuffix('nc')}:out_range=tv"]
    return [*filters, "-bsf:v", f"h264_metadata={':'.join(stated)}"] if matrix in _COLOUR_CODES else []


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


def _named(path: Path) -> str:
    """A file's name for FFmpeg, which would take a name such as concat:a for a protocol."""
    return f"file:{real_path(path)}"
