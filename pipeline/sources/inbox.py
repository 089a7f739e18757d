"""The inbox: data/inbox/NAME/ is where the user puts files for the source NAME."""

from collections.abc import Mapping

from pipeline.paths import Paths
from pipeline.sources.config import Source, reads_inbox
from pipeline.sources.folders import files_under, is_hidden, printable

MARKER = ".gitkeep"  # by it git keeps an empty inbox, so that a clone has the folder that stage `fetch` depends on
_NOT_FILES = ("README.md",)  # of the project


def create_inbox(name: str, paths: Paths) -> None:
    """Create a source's inbox if it is missing: DVC does not run a stage of which a dependency is missing.

    An empty one, new or not, gets MARKER.
    """
    folder = paths.inbox / name
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MARKER).touch()


def unused_inbox(name: str, source: Source, paths: Paths) -> str | None:
    """A line on the files in the inbox of a source that does not read it; None if there are none."""
    if reads_inbox(source) or not (count := sum(1 for _ in files_under(paths.inbox / name))):
        return None
    return (
        f"{paths.inbox / name}/: {_files(count)} ignored, since source '{name}' reads another place (its key `path` in "
        "params.yaml): add a source with `kind: folder`, and move them to the folder of its name"
    )


def unused_inboxes(sources: Mapping[str, Source], paths: Paths) -> list[str]:
    """A line for everything in the inbox that no source reads."""
    lines = [line for name, source in sources.items() if (line := unused_inbox(name, source, paths))]
    entries = sorted(paths.inbox.iterdir()) if paths.inbox.is_dir() else []
    for entry in entries:
        if entry.name in sources or entry.name in _NOT_FILES or is_hidden(entry.name):
            continue
        count = sum(1 for _ in files_under(entry)) if entry.is_dir() else 1
        if count:
            shown = f"{printable(str(entry))}{'/' if entry.is_dir() else ''}"
            lines.append(
                f"{shown}: {_files(count)} ignored, since params.yaml has no source of this name: add one, or move "
                f"them to the folder of a source that it has ({', '.join(sources)})"
            )
    return lines


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count:,} files are"
