"""What DVC cannot see by itself of data/inbox, on which every stage `fetch` depends.

* A file that cannot be read stops DVC for every source, and a FIFO hangs it. Such files are named in data/.dvcignore:
  fetch itself leaves them out with a word. (Not in data/inbox/.dvcignore: DVC refuses one within a dependency.)
* A source whose inbox is a link, or that has a local `path`, may change without any change that DVC sees. The state of
  a `path` is recorded in the inbox before DVC looks there; a changed inbox behind a link is fetched by force.
"""

import os
import re
import stat
from pathlib import Path

from flows.processes.dvc_runner import Log
from pipeline.paths import Paths
from pipeline.sources.change_detection import record_unseen_change
from pipeline.sources.config import load_sources
from pipeline.sources.folders import is_utf8, printable
from pipeline.storage.files import replacing

_BEGIN = "# Written by facemask before each fetch: files of the inbox that DVC cannot read."
_SPECIAL = re.compile(r"([\\*?\[\]!#])")  # in a pattern
_NO_TEXT = re.compile("[\ud800-\udfff\n\r]")  # not UTF-8, or the end of a line: any character in a pattern


def show_to_dvc(source: str, workspace: Path, log: Log) -> bool:
    """Prepare data/inbox of `workspace` for DVC, before it decides whether to fetch `source`.

    Returns whether it must be fetched although DVC sees no change: because an inbox that is a link has changed.
    """
    paths = Paths(workspace)
    if not paths.inbox.is_dir():
        return False
    _ignore_unreadable(paths, log)
    found = load_sources(paths.params).get(source)
    if found is None or not record_unseen_change(source, found, paths):
        return False
    log(f"fetch {source}: its files have changed where DVC does not look")
    return (paths.inbox / source).is_symlink()


def forget(source: str, workspace: Path) -> None:
    """Forget the state of an inbox that is a link: its fetch has failed, and the next one must not be left out."""
    (Paths(workspace).work("changed") / f"{source}.inbox").unlink(missing_ok=True)


def _ignore_unreadable(paths: Paths, log: Log) -> None:
    """Name the files in the inbox that DVC cannot read in data/.dvcignore, below what others wrote there."""
    file = paths.inbox.parent / ".dvcignore"
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    others = before.partition(_BEGIN)[0]
    unreadable = _unreadable_files(paths.inbox)
    patterns = [_pattern(path.relative_to(file.parent).as_posix()) for path in unreadable]
    after = "\n".join([f"{others}{_BEGIN}", *patterns, ""]) if patterns else others
    if after == before:
        return
    with replacing(file) as beside:
        beside.write_text(after, encoding="utf-8")
    if unreadable:
        log(
            f"{paths.inbox}: {len(unreadable):,} files cannot be read and are left out; the first is "
            f"{printable(str(unreadable[0]))}"
        )


def _unreadable_files(inbox: Path) -> list[Path]:
    """Return the files, hidden ones too, that DVC cannot hash or name."""
    files = (Path(parent, name) for parent, _, names in os.walk(inbox) for name in names)
    return sorted(path for path in files if not (is_utf8(str(path.relative_to(inbox))) and _is_readable(path)))


def _is_readable(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.R_OK)
    except OSError:  # a link to nothing or to itself
        return False


def _pattern(path: str) -> str:
    """Return a pattern, as in .gitignore, for a path from the folder of the file."""
    escaped = _NO_TEXT.sub("?", _SPECIAL.sub(r"\\\1", path))
    return f"/{escaped[:-1]}?" if escaped[-1].isspace() else f"/{escaped}"  # DVC strips the line
