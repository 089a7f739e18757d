"""Text on the files of a source that are no images: how many of which format, and which archives are not read."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from pipeline.sources.folders import printable

_ARCHIVES = re.compile(r"\.(zip|tar|gz|tgz|bz2|tbz2?|xz|txz|zst|tzst|lz4|lzma|z|7z|rar|cb[zr]|iso|dmg|cab|jar)", re.I)
_FORMAT = re.compile(r"\.[a-z0-9]{1,8}")
_NAMED_FORMATS = 5  # the rest is counted


def describe_others(paths: Sequence[str]) -> str:
    """Return `3 other files left alone (2 .heic, 1 .txt)` for the files that are no images."""
    suffixes = [PurePosixPath(path).suffix.lower() for path in paths]
    counts = Counter(suffix if _FORMAT.fullmatch(suffix) else "without a format" for suffix in suffixes)
    kinds = [f"{count:,} {kind}" for kind, count in counts.most_common(_NAMED_FORMATS)]
    if rest := len(counts) - len(kinds):
        kinds.append(f"{rest:,} more formats")
    named = f" ({', '.join(kinds)})" if kinds else ""
    return f"{len(paths):,} other files left alone{named}"


def unread_archives(paths: Sequence[str]) -> str | None:
    """Return a line on the archives among the files that are no images and are not read; None if there are none."""
    archives = [path for path in paths if _ARCHIVES.fullmatch(PurePosixPath(path).suffix)]
    if not archives:
        return None
    return f"{len(archives):,} archives are not read: unpack them; the first is {printable(archives[0])}"
