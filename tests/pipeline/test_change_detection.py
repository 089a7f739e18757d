"""Which changes at a source's places are detected."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources.change_detection import record_change, source_fingerprint
from pipeline.sources.config import FfhqSource, FolderSource, NamedSource

PHOTOS = FolderSource(kind="folder", domain="masked")


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


def put(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def inbox(paths):
    return source_fingerprint("photos", PHOTOS, None, paths)["inbox"]


def test_new_larger_and_newer_files_change_the_digest_of_the_inbox(paths):
    photo = paths.inbox / "photos/a/1.jpg"
    digests = [inbox(paths).digest]
    for change in (
        lambda: put(photo),
        lambda: put(photo, "xy"),
        lambda: os.utime(photo, (5, 5)),
        lambda: put(paths.inbox / "photos/more.zip"),
    ):
        change()
        digests.append(inbox(paths).digest)
    assert len(set(digests)) == 5


def test_the_time_of_a_change_is_not_the_modification_time_that_a_copy_keeps(paths):
    photo = put(paths.inbox / "photos/1.jpg")
    os.utime(photo, (5, 5))
    assert inbox(paths).changed_s == photo.stat().st_ctime > 5


def test_other_inboxes_hidden_files_and_records_do_not_change_the_digest(paths):
    before = inbox(paths).digest
    put(paths.inbox / "others/1.jpg")
    put(paths.inbox / "photos/.part")
    record_change("photos", "inbox", "d", paths)
    assert inbox(paths).digest == before


def test_a_broken_link_does_not_change_the_digest(paths):
    put(paths.inbox / "photos/1.jpg")
    before = inbox(paths).digest
    (paths.inbox / "photos/2.jpg").symlink_to("nowhere.jpg")
    assert inbox(paths).digest == before


def test_a_file_name_that_is_not_utf8_is_no_error(paths):
    before = inbox(paths).digest
    put(paths.inbox / "photos" / os.fsdecode(b"caf\xe9.jpg"))
    assert inbox(paths).digest != before


def test_a_recorded_change_is_a_file_in_the_inbox_where_dvc_sees_it(paths):
    record_change("photos", "source", "another version", paths)
    (record,) = (path for path in (paths.inbox / "photos").iterdir() if path.is_file())
    assert record.name.startswith(".")


def test_a_remote_folder_is_listed(paths):
    put(paths.root / "bucket/1.jpg")
    source = FolderSource(kind="folder", domain="masked", path=f"file://{paths.root}/bucket")
    before = source_fingerprint("photos", source, None, paths)["source"].digest
    assert source_fingerprint("photos", source, None, paths)["source"].digest == before
    put(paths.root / "bucket/2.jpg")
    assert source_fingerprint("photos", source, None, paths)["source"].digest != before


@pytest.fixture
def zip_server():
    """A server that answers HEAD requests with the ETag in `etag`, and lists the requested paths in `requests`."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.server.requests.append(self.path)
            self.send_response(200)
            self.send_header("ETag", self.server.etag)
            self.end_headers()

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.etag = [], "one"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_remote_zip_is_identified_by_its_etag(paths, zip_server):
    url = f"http://127.0.0.1:{zip_server.server_port}/faces.zip"
    source = FolderSource(kind="folder", domain="masked", path=url)
    before = source_fingerprint("photos", source, None, paths)["source"].digest
    assert source_fingerprint("photos", source, None, paths)["source"].digest == before
    zip_server.etag = "two"
    assert source_fingerprint("photos", source, None, paths)["source"].digest != before
    assert set(zip_server.requests) == {"/faces.zip"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/faces.zip", "http://[bad/faces.zip", "nosuchscheme://x/a.zip"])
def test_a_place_that_does_not_answer_is_an_error_of_one_line(paths, url):
    source = FolderSource(kind="folder", domain="masked", path=url)
    with pytest.raises(FacemaskError, match="does not answer") as caught:
        source_fingerprint("photos", source, None, paths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        FfhqSource(kind="ffhq", domain="unmasked", images="thumbnails128x128", ids=(0, 9)),
        NamedSource(kind="maskedface", domain="masked"),
        NamedSource(kind="curated", domain="masked"),
        NamedSource(kind="portraits", domain="unmasked"),
        NamedSource(kind="sample", domain="masked"),
    ],
)
def test_google_drive_and_sources_with_fixed_digests_are_not_checked(paths, source):
    assert source_fingerprint("any", source, None, paths).keys() == {"inbox"}


def test_the_time_of_the_last_fetch_is_that_of_the_index(paths):
    assert inbox(paths).fetched_s == 0
    index = put(paths.raw / "photos/index.parquet")
    assert inbox(paths).fetched_s == index.stat().st_mtime


def test_no_file_is_written_by_a_check(paths):
    inbox(paths)
    assert list(Path(paths.root).iterdir()) == []
