"""Digests of code, used as cache keys, and the import closure of a module, read from the source files."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipeline.errors import FacemaskError

ROOT = Path(__file__).parents[2]
PACKAGES = ("flows", "pipeline", "models")


@cache
def closure_digest(module: str, root: Path = ROOT) -> str:
    """Return the SHA-256 (hex) of the code of `module` and of all local modules in its import closure.

    Syntax trees are hashed without docstrings: a change of a comment, a docstring or the layout keeps the digest, since
    a cache may hold days of work. Another Python version may give another digest. Computed once a process.
    """
    digest = hashlib.sha256()
    for path, tree in sorted(closure_trees([module], root).items()):
        for node in ast.walk(tree):
            if isinstance(body := getattr(node, "body", None), list):
                node.body = [part for part in body if not _is_docstring(part)]  # type: ignore[attr-defined]
        digest.update(f"{path.as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def file_of(module: str, root: Path = ROOT) -> Path | None:
    """Return the file of a local module, relative to `root`; None for any other module."""
    if module.split(".")[0] not in PACKAGES:
        return None
    stem = Path(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if (root / path).is_file():
            return path
    return None


def closure_trees(modules: Iterable[str], root: Path) -> dict[Path, ast.Module]:
    """Return the files, relative to `root`, of the modules and all local modules they import; empty files excluded."""
    todo = [file_of(module, root) for module in modules]
    trees: dict[Path, ast.Module] = {}
    while todo:
        path = todo.pop()
        if path is None or path in trees:
            continue
        trees[path] = ast.parse((root / path).read_bytes())
        todo.extend(file_of(module, root) for module in imported_modules(trees[path], path))
    return {path: tree for path, tree in trees.items() if tree.body}


def imported_modules(tree: ast.Module, path: Path) -> set[str]:
    """Return every module that a file imports, lazily too; `from a import b` counts as `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise FacemaskError(f"{path}:{node.lineno}: relative import: write the module's full name")
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
