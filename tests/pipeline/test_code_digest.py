import pytest

from pipeline.errors import FacemaskError
from pipeline.storage.code_digest import closure_digest

FILES = {
    "pipeline/a.py": "def f():\n    from pipeline import b\n\n    return b.ONE\n",
    "pipeline/b.py": '"""Numbers."""\n\nONE = 1  # a comment\n',
    "pipeline/other.py": "TWO = 2\n",
}


def digest(folder, **changed):
    """The digest of pipeline.a in a new copy of FILES; `changed` gives a module's source instead."""
    for path, source in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(changed.get(path[len("pipeline/") : -len(".py")], source))
    return closure_digest("pipeline.a", folder)


def test_the_digest_does_not_depend_on_the_folder(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


@pytest.mark.parametrize("changed", [{"a": "from pipeline import b\nf = b.ONE\n"}, {"b": "ONE = 2\n"}])
def test_changed_code_of_a_module_or_of_one_it_imports_changes_the_digest(tmp_path, changed):
    assert digest(tmp_path / "one") != digest(tmp_path / "two", **changed)


def test_a_module_that_is_not_imported_does_not_change_the_digest(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two", other="TWO = 3\n")


def test_comments_and_docstrings_do_not_change_the_digest(tmp_path):
    assert digest(tmp_path / "one") == digest(tmp_path / "two", b='"""Other words."""\nONE = 1\n')


def test_a_function_that_is_all_docstring_has_a_digest(tmp_path):
    assert digest(tmp_path / "one", b='def f():\n    """Nothing."""\n') != digest(tmp_path / "two", b="")


def test_a_relative_import_is_refused_by_file_and_line(tmp_path):
    with pytest.raises(FacemaskError, match=r"pipeline/a\.py:1: a relative import"):
        digest(tmp_path, a="from . import b\n")


def test_an_edit_of_a_module_that_measures_changes_the_key_of_the_measured_tables(tmp_path):
    from pipeline.storage.code_digest import ROOT, closure

    for path in closure("pipeline.stages.measure"):
        for copy in ("one", "two"):
            (tmp_path / copy / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / copy / path).write_bytes((ROOT / path).read_bytes())
    hashes = tmp_path / "two/pipeline/hashes.py"
    hashes.write_text(hashes.read_text().replace("INTER_AREA", "INTER_LINEAR"))
    assert closure_digest("pipeline.stages.measure", tmp_path / "one") == closure_digest("pipeline.stages.measure")
    assert closure_digest("pipeline.stages.measure", tmp_path / "two") != closure_digest("pipeline.stages.measure")
