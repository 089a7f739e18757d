import os

from pipeline.sources.folders import files_under, why_no_file


def test_files_are_listed_in_order_and_hidden_ones_left_out(tmp_path):
    (tmp_path / "b/.hidden").mkdir(parents=True)
    for name in ("c.png", "b/z.png", "b/a.png", ".x.png", "b/.hidden/a.png"):
        (tmp_path / name).touch()
    assert [path for path, _ in files_under(tmp_path)] == ["c.png", "b/a.png", "b/z.png"]


def test_fifos_and_links_to_devices_are_not_listed(tmp_path):
    (tmp_path / "a.png").touch()
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "to fifo.png").symlink_to("fifo.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    assert [path for path, _ in files_under(tmp_path)] == ["a.png"]


def test_links_to_files_and_broken_links_are_listed(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "c.png").symlink_to("nowhere.png")
    assert [path for path, _ in files_under(tmp_path)] == ["a.png", "b.png", "c.png"]


def test_a_folder_that_cannot_be_listed_is_counted_and_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    listed = os.scandir

    def scandir(path):  # the tests' user may read every folder
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [path for path, _ in files_under(tmp_path)] == ["a.png"]
    assert "1 folders left out (they cannot be listed): " in capsys.readouterr().out


def test_what_is_no_file_is_said_truly(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    said = {name: why_no_file(tmp_path / name) for name in ("folder", "dangling", "loop", "fifo", "none", "a" * 300)}
    assert {name: text.removeprefix(f"{tmp_path / name} ") for name, text in said.items()} == {
        "folder": "is a folder",
        "dangling": "is a link to nothing",
        "loop": "cannot be read (Too many levels of symbolic links)",
        "fifo": "is no regular file",
        "none": "does not exist",
        "a" * 300: "cannot be read (File name too long)",
    }
