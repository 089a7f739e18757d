"""The demo's workspace: a copy that is refreshed, and nothing outside it touched."""

from pathlib import Path

import pytest

from flows import demo
from tests.flows.small_code import CODE, MADE, PYPROJECT, SETTINGS, files_in, git, write


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A small project in a checkout; git finds no user, and settings of theirs that would disturb."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[commit]\n\tgpgsign = true\n[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    root = tmp_path / "project"
    others = {
        "pyproject.toml": PYPROJECT,
        "dvc.lock": "theirs\n",
        "flows/__pycache__/a.pyc": "compiled\n",
        "data/review.csv": "image_id,review\n",
        "data/survey.json": "{}\n",
        "data/raw/large.zip": "ignored\n",
        "photos/of_theirs.jpg": "not needed\n",
        "secret.txt": "not needed\n",
    }
    write(root, SETTINGS | CODE | others)
    git(root, "init", "--quiet")
    return root


@pytest.mark.parametrize("checkout", ["own", "none", "inside_another"])
def test_the_workspace_gets_what_the_pipeline_needs_and_the_demos_params(project, checkout):
    if checkout != "own":
        (project / ".git").rename(project.parent / ("git-elsewhere" if checkout == "none" else ".git"))
    demo.refresh(project, project / "demo")
    assert files_in(project / "demo") == {*SETTINGS, *CODE, *MADE}
    assert (project / "demo" / "params.yaml").read_text() == "demo: 1\n"


def test_a_refresh_keeps_what_was_built_and_drops_code_that_is_gone(project):
    workspace = project / "demo"
    demo.refresh(project, workspace)
    (workspace / "dvc.lock").write_text("built here\n")
    (workspace / "data" / "manifest.parquet").write_text("built here\n")
    (project / "pipeline" / "b.py").unlink()
    (project / "flows" / "a.py").write_text("changed\n")
    demo.refresh(project, workspace)
    assert not (workspace / "pipeline" / "b.py").exists()
    assert (workspace / "flows" / "a.py").read_text() == "changed\n"
    assert (workspace / "dvc.lock").read_text() == "built here\n"
    assert (workspace / "data" / "manifest.parquet").exists()


def test_a_refresh_keeps_the_user_s_reviews_and_models(project):
    workspace = project / "demo"
    demo.refresh(project, workspace)
    names = ("data/review.csv", "data/survey.json", "registry/models.json")
    for name in names:
        (workspace / name).write_text("theirs\n")
    demo.refresh(project, workspace)
    kept = {(workspace / name).read_text() for name in names}
    assert kept == {"theirs\n"}


def test_the_repositories_are_the_workspaces_own_and_need_no_git_user(project, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(project / ".git"))  # as under a git hook
    before = {path: (project / path).read_bytes() for path in files_in(project)}
    demo.refresh(project, project / "demo")
    demo.make_repository(project / "demo")
    monkeypatch.delenv("GIT_DIR")
    after = {path: (project / path).read_bytes() for path in files_in(project) if not path.startswith("demo/")}
    assert after == before
    assert git(project / "demo", "log", "--format=%an %s").split("\n")[:-1] == ["facemask demo The demo's workspace"]
    assert git(project / "demo", "status", "--porcelain") == ""
    demo.make_repository(project / "demo")
    assert git(project / "demo", "rev-list", "--count", "HEAD").strip() == "1"
