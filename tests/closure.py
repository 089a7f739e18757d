"""Which local modules a module imports, under the name by which the tests know it."""

from pipeline.storage.code_digest import ROOT, closure, file_of, imports

__all__ = ["ROOT", "closure", "file_of", "imports"]
