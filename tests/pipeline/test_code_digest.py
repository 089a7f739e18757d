import pytest

from pipeline.errors import FacemaskError
from pipeline.storage.code_digest import closure_digest

FILES = {
    "pipeline/a.py": "def f():\n    from pipeline import b\n\n    return b.ONE\n",
    "pipeline/b.py": '"""Numbers."""\n\nONE = 1  # a comment\n',
    "pipeline/other.py": "TWO = 2\n",
}


def digest(folder, **changed):
    """Return the digest of pipeline.a in a new copy of FILES; `changed` replaces the source of a module."""
    for path, source in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(changed.get(path[len("pipeline/") : -len(".py")], source))
    return closure_digest("pipeline.a", folder)


def test_the_digest_does_not_depend_on_the_folder(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


@pytest.mark.parametrize("changed", [{"a": "from pipeline import b\nf = b.ONE\n"}, {"b": "ONE = 2\n"}])
def test_changed_code_in_the_import_closure_changes_the_digest(tmp_path, changed):
    assert digest(tmp_path / "one") != digest(tmp_path / "two", **changed)


def test_a_module_that_is_not_imported_does_not_change_the_digest(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two", other="TWO = 3\n")


def test_comments_and_docstrings_do_not_change_the_digest(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two", b='"""Other words."""\nONE = 1\n')


def test_a_function_with_only_a_docstring_has_a_digest(tmp_path):
    assert digest(tmp_path / "one", b='def f():\n    """Nothing."""\n') != digest(tmp_path / "two", b="")


def test_a_relative_import_is_an_error_with_file_and_line(tmp_path):
    with pytest.raises(FacemaskError, match=r"pipeline/a\.py:1: relative import"):
        digest(tmp_path, a="from . import b\n")
