"""Experiments that DVC runs in a copy of the project, which has nothing of data/inbox."""

import pytest
import yaml

from pipeline.errors import FacemaskError
from pipeline.experiments import refuse_incomplete_copy


def lock(folder, **digests):
    outs = {f"fetch@{name}": {"outs": [{"path": f"data/raw/{name}", "md5": md5}]} for name, md5 in digests.items()}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": outs}))


@pytest.fixture(params=["standalone/tmpa", "tmpb"], ids=["temp", "queue"])
def copy(tmp_path, request):
    """The copy of a project whose inbox has a photo, and which has fetched it."""
    (tmp_path / "data/inbox/own").mkdir(parents=True)
    (tmp_path / "data/inbox/README.md").touch()
    (tmp_path / "data/inbox/own/a.png").touch()
    lock(tmp_path, own="1.dir")
    folder = tmp_path / ".dvc/tmp/exps" / request.param
    folder.mkdir(parents=True)
    lock(folder, own="1.dir")
    return folder


def test_fetching_in_a_copy_without_the_inbox_is_refused(copy, tmp_path):
    with pytest.raises(FacemaskError, match=rf"does not see {tmp_path}/data/inbox: run 'dvc exp run' without --temp"):
        refuse_incomplete_copy("fetch", copy)


@pytest.mark.parametrize("stage", ["measure", "pack", "train"])
def test_a_stage_after_other_data_came_from_the_run_cache_is_refused(copy, stage):
    lock(copy, own="2.dir")
    with pytest.raises(FacemaskError, match="does not see"):
        refuse_incomplete_copy(stage, copy)


def test_a_single_stage_on_the_same_data_is_run(copy):
    refuse_incomplete_copy("train", copy)


def test_a_copy_of_a_project_with_an_empty_inbox_may_fetch(copy, tmp_path):
    (tmp_path / "data/inbox/own/a.png").unlink()
    (tmp_path / "data/inbox/own").rmdir()
    refuse_incomplete_copy("fetch", copy)


def test_the_project_itself_may_fetch(copy, tmp_path):
    refuse_incomplete_copy("fetch", tmp_path)
