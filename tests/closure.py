"""Which local modules a module imports, by reading the source: lazily imported ones count too."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("flows", "pipeline", "models")


def imports(path: Path) -> set[str]:
    """Every module named in an import statement of a file, `from a import b` as `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are written in full here"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def file_of(module: str) -> Path | None:
    """The file of a local module, relative to the project; None for anything else."""
    if module.split(".")[0] not in PACKAGES:
        return None
    plain = Path(*module.split("."))
    for path in (plain.with_suffix(".py"), plain / "__init__.py"):
        if (ROOT / path).is_file():
            return path
    return None


def closure(*entries: str) -> set[Path]:
    """Files of the entry modules and of all local modules that they import, directly or not; empty ones left out."""
    todo = [file_of(entry) for entry in entries]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path is None or path in seen:
            continue
        seen.add(path)
        todo.extend(file_of(module) for module in imports(ROOT / path))
    return {path for path in seen if (ROOT / path).read_text(encoding="utf-8").strip()}
