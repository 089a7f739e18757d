"""Re-exports for the tests: which local modules a module imports, read from the sources."""

from pipeline.storage.code_digest import ROOT, closure, file_of, imports

__all__ = ["ROOT", "closure", "file_of", "imports"]
