"""Which local modules a module imports, read from the sources as the product's digests do."""

import ast
from pathlib import Path

from pipeline.storage.code_digest import ROOT, closure_trees, file_of, imported_modules

__all__ = ["ROOT", "closure", "file_of", "imports"]


def closure(*modules: str) -> set[Path]:
    """The files, relative to the root, of the modules and all local modules they import; empty files excluded."""
    return set(closure_trees(modules, ROOT))


def imports(path: Path) -> set[str]:
    """Every module that a file imports; `from a import b` counts as `a` and `a.b`."""
    return imported_modules(ast.parse(path.read_bytes()), path)
