"""`facemask review`: reviews are saved into review.csv, from this page only."""

import io
import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flows.cli import main
from pipeline.curation.reviews import MAX_NOTE, Review, change_reviews, read_reviews
from pipeline.errors import FacemaskError
from pipeline.report.local_page import listening, serving
from pipeline.report.server import SETTINGS, open_review, review_app
from pipeline.storage.files import sha256
from pipeline.storage.manifest import to_frame, write_manifest
from pipeline.storage.shards import write_shard
from pipeline.tools.curate_folder import curate_folder
from tests.pipeline.test_local_page import OpenPage


@pytest.fixture
def workspace(report_workspace, tmp_path, monkeypatch):
    folder = tmp_path / "w"
    shutil.copytree(report_workspace, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def opened(workspace):
    with served(open_review(None)) as page:
        yield page


@contextmanager
def served(session):
    with listening(0) as listener, serving(review_app(session), listener, SETTINGS) as address:
        yield OpenPage(address)


def request(opened, method, path, body=None, **headers):
    response, content = opened.request(method, path, body, **headers)
    return response.status, content


def save(opened, *entries, note="", **headers):
    """Send reviews (index, review), each with the note."""
    body = json.dumps([{"index": index, "review": review, "note": note} for index, review in entries])
    return request(opened, "POST", "/review", body, **({"Content_Type": "application/json"} | headers))


def test_a_review_is_saved_at_once_and_returned_by_the_image_s_index(opened, workspace):
    image_ids = open_review(None).image_ids
    status, content = save(opened, (3, "drop"), (5, "keep"))
    assert status == 200
    assert read_reviews(workspace / "data/review.csv") == {image_ids[3]: Review("drop"), image_ids[5]: Review("keep")}
    assert {index: entry["review"] for index, entry in json.loads(content)["entries"].items()} == {
        "3": "drop",
        "5": "keep",
    }


def test_the_cover_map_is_opaque_on_the_mask_and_transparent_beside_the_face(opened):
    rows = open_review(None).rows.reset_index()
    measured = to_frame(pq.read_table("data/manifest.parquet")).set_index("image_id")
    worn = [measured.loc[name, "accepted"] and measured.loc[name, "domain"] == "masked" for name in rows["image_id"]]
    image_ids = open_review(None).image_ids
    index = image_ids.index(rows["image_id"][worn.index(True)])
    status, content = request(opened, "GET", f"/cover/{index}")
    assert status == 200
    with Image.open(io.BytesIO(content)) as cover:
        pixels = np.asarray(cover)
    height, width = pixels.shape[:2]
    mouth = pixels[int(0.7 * height), width // 2]
    assert mouth[3] > 100 and mouth[0] > mouth[1]  # magenta, and not transparent
    assert pixels[:4, :, 3].max() == 0


def test_an_image_without_a_face_has_no_cover_map(opened):
    measured = to_frame(pq.read_table("data/manifest.parquet"))
    faceless = measured[measured["faces"] == 0]["image_id"].iloc[0]
    assert request(opened, "GET", f"/cover/{open_review(None).image_ids.index(faceless)}")[0] == 404
    assert request(opened, "GET", "/cover/99999")[0] == 404


@pytest.mark.parametrize("note", ["a\rb", "a\nb", "a\tb", "a\0b", "\x85", "\u2028", "n" * (MAX_NOTE + 1)])
def test_a_note_that_would_break_the_file_is_refused_and_nothing_changes(opened, workspace, note):
    assert save(opened, (1, "drop"))[0] == 200
    before = (workspace / "data/review.csv").read_bytes()
    status, message = save(opened, (2, "drop"), note=note)
    assert status == 400
    assert b"a note may" in message and b"\n" not in message
    assert (workspace / "data/review.csv").read_bytes() == before


def test_two_pages_and_an_editor_do_not_overwrite_each_other(opened, workspace):
    image_ids = open_review(None).image_ids
    save(opened, (1, "drop"))
    change_reviews(workspace / "data/review.csv", {"not/here.png": Review("keep", "by hand")})
    save(opened, (2, "keep"))
    save(opened, (1, ""))
    assert read_reviews(workspace / "data/review.csv") == {
        "not/here.png": Review("keep", "by hand"),
        image_ids[2]: Review("keep"),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Host": "elsewhere.example"},
        {"Cookie": None},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(opened, workspace, headers):
    status, _ = save(opened, (1, "drop"), **headers)
    assert status == 403
    assert read_reviews(workspace / "data/review.csv") == {}


@pytest.mark.parametrize("path", ["/", "/picture/0", "/review", "/index.data/ids.json"])
def test_under_another_host_name_nothing_is_served(opened, path):
    assert request(opened, "GET", path, Host="elsewhere.example")[0] == 403


OTHERS = (
    "/../data/manifest.parquet /index.data/../evaluation.json /evaluation.json /index.data/%2e%2e/curation.json "
    "/picture/999999 /index.data"
)


@pytest.mark.parametrize("path", OTHERS.split())
def test_no_other_file_is_served(opened, path):
    assert request(opened, "GET", path)[0] == 404  # http.client sends the path as it is


@pytest.mark.parametrize("path", ["/", "/picture/0", "/review", "/index.data/ids.json"])
def test_without_the_token_nothing_is_served(opened, path):
    assert request(opened, "GET", path)[0] == 200
    status, content = request(opened, "GET", path, Cookie=None)
    assert (status, opened.token.encode() in content) == (403, False)


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        '{"index": 1}',
        '[{"index": 1}]',
        '[{"index": -1, "review": "drop"}]',
        '[{"index": 1, "review": "burn"}]',
        '[{"index": 99999, "review": "drop"}]',
        '[{"index": NaN, "review": "drop"}]',
        '[{"index": 1e999, "review": "drop"}]',
        '[{"index": 1, "review": "drop", "note": NaN}]',
        r'[{"index": 1, "review": "drop", "note": "\ud800"}]',
        "[" * 100_000,
        b"\xff",
        "",
    ],
)
def test_an_invalid_request_changes_nothing(opened, workspace, body, capfd):
    status, _ = request(opened, "POST", "/review", body, Content_Type="application/json")
    assert status == 400
    assert read_reviews(workspace / "data/review.csv") == {}
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_image_is_served_from_its_archive_unchanged(opened, workspace):
    session = open_review(None)
    rows = pd.read_parquet("data/manifest.parquet").set_index("image_id")
    index = next(index for index, image_id in enumerate(session.image_ids) if rows.loc[image_id, "accepted"])
    status, content = request(opened, "GET", f"/picture/{index}")
    assert status == 200
    assert len(content) == rows.loc[session.image_ids[index], "bytes"]


def test_the_page_of_a_curated_folder_can_be_reviewed(portraits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces of mine").mkdir()
    for number, portrait in enumerate(portraits[:3]):
        portrait.save(tmp_path / f"faces of mine/{number}.png")
    curate_folder(tmp_path / "faces of mine", tmp_path / "out", "unmasked", None)
    session = open_review(tmp_path / "out")
    with served(session) as opened:
        assert request(opened, "GET", "/picture/1")[1] == (tmp_path / "faces of mine/1.png").read_bytes()
        save(opened, (1, "drop"))
    assert list(read_reviews(tmp_path / "out/review.csv")) == ["faces of mine/1.png"]


def test_in_the_browser_a_review_is_saved_and_another_tab_shows_it(browser, opened, workspace):
    context = browser.new_context()
    first, second = context.new_page(), context.new_page()
    for page, address in ((first, opened.address), (second, opened.address.partition("?")[0])):
        page.goto(address)
        assert "token" not in page.url
        page.set_default_timeout(15_000)
        page.wait_for_selector("html[data-ready]")
        page.evaluate("document.getElementById('pictures').scrollIntoView()")
    first.locator(".cell").nth(0).click()
    first.get_by_role("button", name="Drop").click()
    first.locator("#saved", has_text="1 in review.csv").wait_for()
    second.locator(".cell").nth(1).click()
    second.get_by_role("button", name="Keep", exact=True).click()
    second.locator("#saved", has_text="2 in review.csv").wait_for()
    second.wait_for_selector(".badge.drop")
    image_ids = open_review(None).image_ids
    assert read_reviews(workspace / "data/review.csv") == {image_ids[0]: Review("drop"), image_ids[1]: Review("keep")}
    second.locator(".cell").nth(1).dblclick()
    width = second.locator("dialog img.photo").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width > 96
    cover = second.locator("dialog img.cover")
    assert cover.is_hidden()
    second.get_by_role("checkbox", name="cover map").check()
    assert cover.evaluate("image => image.decode().then(() => image.naturalWidth)") > 96
    context.close()


def test_in_the_browser_a_run_named_by_against_is_compared_at_once(workspace, browser):
    session = replace(open_review(None), against=(workspace / "reports/index.data/run.js").read_bytes())
    with served(session) as page:
        tab = browser.new_page()
        tab.set_default_timeout(15_000)
        tab.goto(page.address)
        tab.locator("#compared", has_text="No verdict changed.").wait_for()
        tab.close()


def test_a_folder_without_a_run_to_compare_with_is_refused(workspace, tmp_path):
    with pytest.raises(SystemExit, match=r"no run to compare with at .*index\.data/run\.js: name the folder"):
        main(["review", "--against", str(tmp_path)])


def test_without_another_run_there_is_nothing_to_compare_with(opened):
    assert request(opened, "GET", "/against")[0] == 404


def test_a_missing_page_is_refused_with_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"no page to review at reports/index\.html: make it by 'dvc repro'"):
        main(["review"])


def test_a_page_of_an_older_manifest_is_refused(workspace):
    ids = workspace / "reports/index.data/ids.json"
    ids.write_text(json.dumps(json.loads(ids.read_text())[1:]))
    with pytest.raises(FacemaskError, match="does not match the manifest"):
        open_review(None)


def test_a_port_in_use_is_one_line_that_names_the_option(workspace):
    with listening(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port} is in use.*another --port"):
            main(["review", "--port", str(port)])


# --- a DIR made by somebody else ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curated(portraits, tmp_path_factory):
    """photos/ with two pictures, and dir/ with their page by `facemask curate`."""
    folder = tmp_path_factory.mktemp("curated")
    (folder / "photos").mkdir()
    for number, portrait in enumerate(portraits[:2]):
        portrait.save(folder / f"photos/{number}.png")
    curate_folder(folder / "photos", folder / "dir", "unmasked", None)
    return folder


@pytest.fixture
def theirs(curated, portraits, tmp_path, monkeypatch):
    """A page of photos/ made by somebody else, and secret/, which belongs to the reader."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(curated, tmp_path, dirs_exist_ok=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/diary.txt").write_text("my secret")
    portraits[3].save(tmp_path / "secret/me.png")
    return tmp_path / "dir"


def rewrite(folder, folders=None, **columns):
    """Change what the page says about folders, and columns of the manifest's first row."""
    page, manifest = folder / "index.html", folder / "manifest.parquet"
    if folders is not None:
        facts = re.compile(r'(<script type="application/json" id="facts">)(.*?)(</script>)', re.DOTALL)
        text = page.read_text()
        changed = json.loads(facts.search(text)[2]) | {"folders": folders}
        page.write_text(facts.sub(lambda found: found[1] + json.dumps(changed) + found[3], text))
    rows = to_frame(pq.read_table(manifest))
    for name, value in columns.items():
        rows[name] = [value, *rows[name][1:]]
    write_manifest(rows, manifest, {})


def first_picture(folder):
    session = open_review(folder)
    index = session.image_ids.index(pd.read_parquet(folder / "manifest.parquet")["image_id"][0])
    with served(session) as opened:
        return request(opened, "GET", f"/picture/{index}")


def digest(path):
    return {"sha256": sha256(path), "bytes": path.stat().st_size}


def test_the_unchanged_page_shows_its_images(theirs):
    assert first_picture(theirs)[0] == 200


@pytest.mark.parametrize(
    ("folders", "path"),
    [
        ({"photos": "/etc"}, "passwd"),
        ({"photos": "../../../../../../../../etc"}, "passwd"),
        ({"photos": "../photos"}, "../../../../../../../../etc/passwd"),
        ({"photos": "../photos"}, "/etc/passwd"),
        ({"photos": "/"}, "etc/passwd"),
        ({"photos": "../secret"}, "diary.txt"),
        ({"photos": "../secret"}, "me.png"),  # an image whose digest the page's maker does not know
        ({"photos": "/dev"}, "zero"),
        ({"photos": "../photos"}, "."),
        ({"photos": "../photos"}, "nul\0.png"),
    ],
)
def test_no_file_is_served_that_was_not_curated(theirs, folders, path):
    rewrite(theirs, folders, path=path)
    status, content = first_picture(theirs)
    assert (status, b"root:" in content) == (404, False)


def test_an_image_of_unknown_digest_is_not_served_even_if_its_size_is_known(theirs, tmp_path):
    rewrite(theirs, {"photos": "../secret"}, path="me.png", bytes=(tmp_path / "secret/me.png").stat().st_size)
    assert first_picture(theirs)[0] == 404


def test_a_file_that_is_no_image_is_not_served_even_if_its_digest_is_known(theirs, tmp_path):
    rewrite(theirs, {"photos": "../secret"}, path="diary.txt", **digest(tmp_path / "secret/diary.txt"))
    assert first_picture(theirs)[0] == 404


@pytest.mark.parametrize("path", ["../secret/me.png", "SECRET/me.png"])
def test_no_member_path_leaves_its_folder_even_if_its_digest_is_known(theirs, tmp_path, path):
    rewrite(theirs, path=path.replace("SECRET", str(tmp_path / "secret")), **digest(tmp_path / "secret/me.png"))
    assert first_picture(theirs)[0] == 404


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_out_of_the_folder_is_not_followed(theirs, tmp_path, link):
    target = tmp_path / "secret" if link == "folder" else tmp_path / "secret/me.png"
    (tmp_path / "photos/link").symlink_to(target)
    rewrite(theirs, path="link/me.png" if link == "folder" else "link", **digest(tmp_path / "secret/me.png"))
    assert first_picture(theirs)[0] == 404


def test_a_link_inside_the_folder_is_followed(theirs, tmp_path):
    (tmp_path / "photos/link").symlink_to("1.png")
    rewrite(theirs, path="link", **digest(tmp_path / "photos/1.png"))
    assert first_picture(theirs) == (200, (tmp_path / "photos/1.png").read_bytes())


def test_a_page_of_a_folder_reads_no_archive(theirs, tmp_path):
    (tmp_path / "data/raw/photos").mkdir(parents=True)
    content = (tmp_path / "secret/me.png").read_bytes()
    write_shard(tmp_path / "data/raw/photos/a.zip", [("me.png", content)])
    rewrite(theirs, {}, archive="a.zip", path="me.png", **digest(tmp_path / "secret/me.png"))
    assert first_picture(theirs)[0] == 404


def test_data_that_is_a_link_out_of_the_folder_is_refused(theirs, tmp_path):
    (theirs / "index.data").rename(tmp_path / "secret/data")
    (theirs / "index.data").symlink_to(tmp_path / "secret/data")
    with pytest.raises(FacemaskError, match="is a link out of"):
        open_review(theirs)


def test_a_link_in_the_page_s_data_is_not_followed(theirs, tmp_path):
    (theirs / "index.data/notes").symlink_to(tmp_path / "secret")
    (theirs / "index.data/diary.txt").symlink_to(tmp_path / "secret/diary.txt")
    os.mkfifo(theirs / "index.data/pipe")
    with served(open_review(theirs)) as opened:
        for path in ("/index.data/notes/diary.txt", "/index.data/diary.txt", "/index.data/pipe"):
            assert request(opened, "GET", path)[0] == 404
        # Nor is a link that replaces the folder while the page is open.
        (theirs / "index.data").rename(theirs / "old")
        (theirs / "index.data").symlink_to(tmp_path / "secret")
        assert request(opened, "GET", "/index.data/diary.txt")[0] == 404


def test_saving_truncates_no_file_that_a_link_in_the_folder_names(theirs, tmp_path):
    (theirs / ".review.csv.lock").symlink_to(tmp_path / "secret/diary.txt")
    with served(open_review(theirs)) as opened:
        assert save(opened, (0, "drop"))[0] == 200
    assert (tmp_path / "secret/diary.txt").read_text() == "my secret"


@pytest.mark.parametrize("facts", ["[]", '{"folders": 1}', '{"folders": {"a": 1}}', "{}", "no json"])
def test_a_page_with_invalid_facts_is_refused_in_one_line(theirs, facts):
    (theirs / "index.html").write_text(f'<script type="application/json" id="facts">{facts}</script>')
    with pytest.raises(FacemaskError, match="not made by facemask"):
        open_review(theirs)


@pytest.mark.parametrize("ids", ["1", "[[]]", "null", "{"])
def test_invalid_ids_are_refused_in_one_line(theirs, ids):
    (theirs / "index.data/ids.json").write_text(ids)
    with pytest.raises(FacemaskError, match="no page to review"):
        open_review(theirs)
