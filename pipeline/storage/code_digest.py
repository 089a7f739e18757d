"""Digests of code, to key caches by: which local modules a module imports is read from the sources."""

import ast
import hashlib
from functools import cache
from pathlib import Path

from pipeline.errors import FacemaskError

ROOT = Path(__file__).parents[2]
PACKAGES = ("flows", "pipeline", "models")


@cache
def closure_digest(module: str, root: Path = ROOT) -> str:
    """SHA-256 (hex) of the code of `module` and of all local modules that it imports, directly or not.

    The syntax trees are hashed without docstrings, so that a change of a comment, a docstring or the layout keeps the
    digest: what a cache holds may have taken days. Another Python version may give another digest. Read once a process.
    """
    digest = hashlib.sha256()
    for path, tree in sorted(_trees((module,), root).items()):
        for node in ast.walk(tree):
            if isinstance(body := getattr(node, "body", None), list):
                node.body = [part for part in body if not _is_docstring(part)]  # type: ignore[attr-defined]
        digest.update(f"{path.as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def closure(*modules: str, root: Path = ROOT) -> set[Path]:
    """Files, relative to `root`, of the modules and of all local modules that they import; empty files left out."""
    return set(_trees(modules, root))


def imports(path: Path) -> set[str]:
    """Every module named in an import statement of a file, `from a import b` as `a` and `a.b`; lazy imports too."""
    return _imports(ast.parse(path.read_bytes()), path)


def file_of(module: str, root: Path = ROOT) -> Path | None:
    """The file of a local module, relative to `root`; None for any other module."""
    if module.split(".")[0] not in PACKAGES:
        return None
    plain = Path(*module.split("."))
    for path in (plain.with_suffix(".py"), plain / "__init__.py"):
        if (root / path).is_file():
            return path
    return None


def _trees(modules: tuple[str, ...], root: Path) -> dict[Path, ast.Module]:
    todo = [file_of(module, root) for module in modules]
    trees: dict[Path, ast.Module] = {}
    while todo:
        path = todo.pop()
        if path is None or path in trees:
            continue
        trees[path] = ast.parse((root / path).read_bytes())
        todo.extend(file_of(module, root) for module in _imports(trees[path], path))
    return {path: tree for path, tree in trees.items() if tree.body}


def _imports(tree: ast.Module, path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise FacemaskError(f"{path}:{node.lineno}: a relative import; write the module's full name")
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
