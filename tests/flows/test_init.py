"""`facemask init`: a project in any folder, its update by a later version, and what is refused."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from flows import init_project, project
from flows.init_project import RECORD, init
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.storage.files import locked
from tests.flows.conftest import ROOT
from tests.flows.small_code import CODE, MADE, PYPROJECT, SETTINGS, files_in, git, write


@pytest.fixture
def installed(tmp_path: Path, monkeypatch) -> Path:
    """A small installed facemask: its packages in code/, its other files in share/."""
    monkeypatch.setenv("HOME", str(tmp_path))  # git knows no user there
    (tmp_path / ".gitconfig").write_text("[commit]\n\tgpgsign = true\n[user]\n\tuseConfigOnly = true\n")
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    folder = tmp_path / "installed"
    write(folder / "code", CODE | {"flows/__pycache__/a.pyc": "compiled\n"})
    write(folder / "share", SETTINGS | {"pyproject.toml": PYPROJECT})
    monkeypatch.setattr(init_project, "CODE", folder / "code")
    monkeypatch.setattr(params, "default_file", lambda: folder / "share/params.yaml")
    return folder


@pytest.fixture
def made(installed: Path, tmp_path: Path) -> Path:
    """A project."""
    init(tmp_path / "made")
    return tmp_path / "made"


def next_version(installed: Path, monkeypatch, version: str = "9.0.0") -> None:
    """Install a version in which code changed, came and went, and settings changed."""
    monkeypatch.setattr(init_project, "VERSION", version)
    write(installed / "code", {"flows/a.py": "1, new\n", "models/new.py": "new\n"})
    (installed / "code/pipeline/b.py").unlink()
    write(installed / "share", {"prefect.yaml": "new\n", "params.yaml": "curate:\n  max_px: 2\n", "dvc.yaml": "new\n"})


def content(folder: Path) -> dict[str, bytes]:
    """All files but git's and half-done work."""
    names = (name for name in files_in(folder) if not name.startswith((".git/", "work/")))
    return {name: (folder / name).read_bytes() for name in names}


def test_a_project_has_all_files_and_they_are_committed(made):
    assert content(made).keys() == {*SETTINGS, *CODE, *MADE, RECORD}
    assert git(made, "status", "--porcelain", "--ignored") == ""
    assert git(made, "log", "--format=%an").split() == ["facemask"]


def test_prefect_s_settings_are_those_of_pyproject_toml(made):
    assert tomllib.loads((made / "prefect.toml").read_text()) == {"api": {"url": "here"}}


def test_a_commit_is_the_user_s_where_git_knows_one(installed, tmp_path):
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Anna\n\temail = a@b\n")
    init(tmp_path / "made")
    assert git(tmp_path / "made", "log", "--format=%an <%ae>") == "Anna <a@b>\n"


def test_a_sample_project_has_the_demos_parameters(installed, tmp_path):
    init(tmp_path / "made", sample=True)
    assert (tmp_path / "made/params.yaml").read_text() == CODE["flows/demo_params.yaml"]


def test_a_project_gets_no_reviews_of_the_installation(installed, tmp_path):
    write(installed / "share", {"data/review.csv": "image_id,review,note\na,keep,\n"})
    init(tmp_path / "made")
    assert (tmp_path / "made/data/review.csv").read_text() == "image_id,review,note\n"


def test_an_empty_repository_of_the_user_becomes_a_project_and_keeps_its_files(installed, tmp_path):
    folder = tmp_path / "theirs"
    write(folder, {"README.md": "theirs\n", "staged.txt": "theirs\n"})
    git(folder, "init", "--quiet")
    git(folder, "add", "staged.txt")
    init(folder)
    assert (folder / "README.md").read_text() == "theirs\n"
    assert git(folder, "status", "--porcelain") == "A  staged.txt\n?? README.md\n"


@pytest.mark.parametrize(
    ("files", "repository", "said"),
    [
        ({"photo.jpg": "x"}, False, "is not empty: name a new folder"),
        ({"models/theirs.py": "x"}, True, "has 'models' already, which a project needs"),
        ({".gitignore": "x"}, True, "has '.gitignore' already, which a project needs"),
        ({"dvc.yaml": "x"}, True, "has 'dvc.yaml' already, which a project needs"),
    ],
)
def test_a_folder_with_files_of_others_is_refused_and_stays_as_it_is(installed, tmp_path, files, repository, said):
    folder = tmp_path / "theirs"
    write(folder, files)
    if repository:
        git(folder, "init", "--quiet")
    before = content(folder)
    with pytest.raises(FacemaskError, match=re.escape(said)):
        init(folder)
    assert content(folder) == before


def test_a_folder_in_another_repository_is_refused_unless_that_ignores_it(installed, tmp_path):
    outer = tmp_path / "outer"
    write(outer, {".gitignore": "/ignored/\n"})
    git(outer, "init", "--quiet")
    with pytest.raises(FacemaskError, match="is inside the git repository"):
        init(outer / "sub/made")
    assert not (outer / "sub").exists()
    init(outer / "ignored/made")
    assert (outer / "ignored/made/.git").is_dir()


def test_a_file_in_the_way_is_named(installed, tmp_path):
    write(tmp_path, {"file": ""})
    with pytest.raises(FacemaskError, match=f"{tmp_path}/file is a file: name a folder"):
        init(tmp_path / "file/made")


def test_without_git_nothing_is_written(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FacemaskError, match="git is not installed"):
        init(tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_folder_of_the_code_that_runs_is_refused(installed):
    with pytest.raises(FacemaskError, match="has the code that runs now"):
        init(installed / "code")


def test_a_second_time_changes_nothing(made, capsys):
    before = content(made)
    init(made)
    assert content(made) == before
    assert git(made, "rev-list", "--count", "HEAD") == "1\n"
    assert capsys.readouterr().out.endswith("nothing to change\n")


def test_an_interrupted_first_time_is_continued(installed, tmp_path, monkeypatch):
    def interrupted(folder, contents):
        write_files(folder, dict(list(contents.items())[:5]))
        raise KeyboardInterrupt

    write_files = init_project.write_files
    monkeypatch.setattr(init_project, "write_files", interrupted)
    with pytest.raises(KeyboardInterrupt):
        init(tmp_path / "made")
    monkeypatch.setattr(init_project, "write_files", write_files)
    init(tmp_path / "made")
    assert content(tmp_path / "made").keys() == {*SETTINGS, *CODE, *MADE, RECORD}
    assert git(tmp_path / "made", "status", "--porcelain") == ""


def test_an_interrupted_update_is_continued(made, installed, monkeypatch):
    next_version(installed, monkeypatch)
    write(made, {"flows/a.py": "1, new\n"})
    (made / "pipeline/b.py").unlink()
    init(made)
    assert git(made, "status", "--porcelain") == ""
    assert (made / "models/new.py").is_file()


def test_an_update_brings_new_code_and_settings_and_removes_code_that_is_gone(made, installed, monkeypatch, capsys):
    next_version(installed, monkeypatch)
    init(made)
    assert (made / "flows/a.py").read_text() == "1, new\n"
    assert (made / "models/new.py").is_file() and not (made / "pipeline/b.py").exists()
    assert (made / "prefect.yaml").read_text() == (made / "dvc.yaml").read_text() == "new\n"
    assert git(made, "status", "--porcelain") == ""
    assert "has the code of facemask 9.0.0, before it was" in capsys.readouterr().out


def test_an_update_leaves_parameters_data_reviews_models_and_own_files(made, installed, monkeypatch):
    theirs = {
        "params.yaml": "curate:\n  min_px: 7\n",
        "data/review.csv": "image_id,review,note\na,keep,\n",
        "data/raw/ffhq/a.zip": "raw\n",
        "registry/models.json": "{}\n",
        "models/methods/own.py": "own\n",
        "experiments/own.yaml": "own\n",
        "notes.txt": "own\n",
    }
    write(made, theirs)
    next_version(installed, monkeypatch)
    init(made)
    assert {name: (made / name).read_text() for name in theirs} == theirs
    assert set(git(made, "status", "--porcelain", "--untracked-files=all").split("\n")) >= {
        " M params.yaml",
        " M registry/models.json",
        "?? notes.txt",
    }


def test_a_setting_that_the_user_changed_or_deleted_stays_so_and_a_new_one_is_announced(
    made, installed, monkeypatch, capsys
):
    write(made, {"prefect.yaml": "theirs\n"})
    (made / "experiments/none.yaml").unlink()
    next_version(installed, monkeypatch)
    init(made)
    assert (made / "prefect.yaml").read_text() == "theirs\n"
    assert not (made / "experiments/none.yaml").exists()
    assert f"your prefect.yaml stays: the new one is in {installed}/share" in capsys.readouterr().out


def test_an_update_tells_of_parameters_that_came_and_went(made, installed, monkeypatch, capsys):
    next_version(installed, monkeypatch)
    init(made)
    told = capsys.readouterr().out
    assert f"curate.max_px: in {installed}/share/params.yaml, not in {made}/params.yaml" in told
    assert f"curate.min_px: in {made}/params.yaml, not in {installed}/share/params.yaml" in told


def test_changes_of_the_code_that_are_not_committed_are_not_lost(made, installed, monkeypatch):
    write(made, {"flows/a.py": "theirs\n"})
    next_version(installed, monkeypatch)
    with pytest.raises(FacemaskError, match=r"flows/a.py in .* changed and not committed"):
        init(made)
    assert (made / "flows/a.py").read_text() == "theirs\n"
    assert (made / "pipeline/b.py").exists()


def test_committed_changes_of_the_code_are_replaced_and_named(made, installed, monkeypatch, capsys):
    write(made, {"flows/a.py": "theirs\n"})
    git(made, "commit", "--all", "--quiet", "--message", "theirs")
    next_version(installed, monkeypatch)
    init(made)
    assert "your changes of flows/a.py are replaced" in capsys.readouterr().out
    assert git(made, "show", "HEAD~1:flows/a.py") == "theirs\n"


def test_an_older_version_does_not_replace_a_newer_one(made, installed, monkeypatch):
    next_version(installed, monkeypatch)
    init(made)
    monkeypatch.setattr(init_project, "VERSION", "8.12.0")
    with pytest.raises(FacemaskError, match=r"has facemask 9.0.0, and 8.12.0 is installed"):
        init(made)


@pytest.mark.parametrize("lock", ["up", "run"])
def test_the_code_under_a_run_is_not_changed(made, lock):
    write(made, {f"work/{lock}.lock": ""})
    with locked(made / f"work/{lock}.lock"), pytest.raises(FacemaskError, match="something runs in"):
        init(made)


def test_a_damaged_record_is_named(made):
    write(made, {RECORD: "{"})
    with pytest.raises(FacemaskError, match=f"git checkout {RECORD}"):
        init(made)


def test_a_project_of_this_code_has_every_file_that_dvc_depends_on():
    contents = project.project_files(ROOT, ROOT)
    stages = yaml.safe_load(contents["dvc.yaml"])["stages"].values()
    deps = {dep for stage in stages for dep in stage.get("do", stage)["deps"]}
    code = {dep for dep in deps if project.is_code(dep) and "${" not in dep}
    assert {dep for dep in code if not any(name == dep or name.startswith(f"{dep}/") for name in contents)} == set()
    sources = yaml.safe_load(contents["params.yaml"])["sources"]
    assert {f"data/inbox/{name}/.gitkeep" for name in sources} <= contents.keys()


def test_a_wheel_has_every_file_of_a_project():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = {
        (Path(folder).relative_to("share/facemask") / Path(pattern).name).as_posix()
        for folder, files in settings["data-files"].items()
        for pattern in files
    }
    for package, files in settings["package-data"].items():
        patterns |= {f"{package}/{pattern}" for pattern in files}
    wanted = project.project_files(ROOT, ROOT).keys() - MADE | {"pyproject.toml"}
    others = {name for name in wanted if not name.endswith(".py")}
    assert {name for name in others if not any(fnmatch(name, pattern) for pattern in patterns)} == set()
