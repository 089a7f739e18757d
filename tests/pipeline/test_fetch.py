import shutil

import pandas as pd
import pytest

from pipeline.errors import FacemaskError
from pipeline.stages.fetch import fetch
from tests.conftest import demo_params, inside, write_params


@pytest.fixture
def workspace(tmp_path):
    """A source `own` with five files in the inbox, two images to an archive."""
    values = demo_params()
    values["sources"] = {"own": {"kind": "folder", "domain": "masked"}}
    values["fetch"]["archive_images"] = 2
    write_params(tmp_path, values)
    inbox = tmp_path / "data/inbox/own"
    inbox.mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "d.png", "notes.txt"):
        (inbox / name).write_bytes(name.encode())
    with inside(tmp_path):
        yield tmp_path


def archives(workspace):
    return {path.name: path.read_bytes() for path in (workspace / "data/raw/own").glob("*.zip")}


def index(workspace):
    return pd.read_parquet(workspace / "data/raw/own/index.parquet")


def test_every_image_and_nothing_else_is_indexed(workspace, capsys):
    fetch("own")
    assert index(workspace)["path"].tolist() == ["a.png", "b.png", "c.png", "d.png"]
    assert "4 images, 1 other files left alone" in capsys.readouterr().out


def test_an_archive_once_written_does_not_change_when_data_lands(workspace):
    fetch("own")
    before = archives(workspace)
    (workspace / "data/inbox/own/aa.png").write_bytes(b"new")
    fetch("own")
    after = archives(workspace)
    assert before.items() < after.items()
    assert sorted(after) == ["00000.zip", "00001.zip", "00002.zip"]


def test_a_file_that_changed_is_archived_anew(workspace):
    fetch("own")
    (workspace / "data/inbox/own/a.png").write_bytes(b"other content")
    fetch("own")
    rows = index(workspace).set_index("path")
    assert rows.at["a.png", "bytes"] == len(b"other content")
    assert len(rows) == 4


def test_a_killed_fetch_goes_on_with_what_it_has(workspace):
    fetch("own")
    whole = archives(workspace)
    last = workspace / "work/fetch/own/00001.zip"
    last.with_suffix(".parquet").unlink()
    last.write_bytes(b"half")
    shutil.rmtree(workspace / "data/raw")
    fetch("own")
    assert archives(workspace) == whole


def test_a_missing_source_says_where_to_put_the_files_and_keeps_the_earlier_output(workspace):
    fetch("own")
    before = archives(workspace)
    shutil.rmtree(workspace / "data/inbox/own")
    shutil.rmtree(workspace / "data/raw/own")  # as DVC does before it runs the stage
    with pytest.raises(FacemaskError, match=r"'own' has no images in data/inbox/own/: put its images"):
        fetch("own")
    assert archives(workspace) == before


def test_an_unknown_source_is_named(workspace):
    with pytest.raises(FacemaskError, match="no source 'other': it has own"):
        fetch("other")
