"""`facemask review`: choices land in review.csv, from this page only."""

import http.client
import json
import re
import shutil
import threading

import pandas as pd
import pytest

from flows.cli import main
from pipeline.errors import FacemaskError
from pipeline.folder import curate_folder
from pipeline.review import Entry, change_reviews, read_reviews
from pipeline.review_server import make_server, open_desk


@pytest.fixture
def workspace(report_workspace, tmp_path, monkeypatch):
    folder = tmp_path / "w"
    shutil.copytree(report_workspace, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def port(workspace):
    yield from serving(open_desk(None))


def serving(desk):
    with make_server(desk, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def token(port):
    return re.search(rb'facemask-token" content="([^"]+)"', ask(port, "GET", "/")[1])[1].decode()


def choose(port, *choices, **headers):
    body = json.dumps([{"place": place, "review": review, "note": ""} for place, review in choices])
    return ask(port, "POST", "/review", body, **({"X_Facemask_Token": token(port)} | headers))


def test_a_choice_is_in_review_csv_at_once_and_told_by_its_place(port, workspace):
    image_ids = open_desk(None).image_ids
    status, content = choose(port, (3, "drop"), (5, "keep"))
    assert status == 200
    assert read_reviews(workspace / "data/review.csv") == {image_ids[3]: Entry("drop"), image_ids[5]: Entry("keep")}
    assert {place: entry["review"] for place, entry in json.loads(content)["entries"].items()} == {
        "3": "drop",
        "5": "keep",
    }


def test_two_pages_and_an_editor_do_not_overwrite_each_other(port, workspace):
    image_ids = open_desk(None).image_ids
    choose(port, (1, "drop"))
    change_reviews(workspace / "data/review.csv", {"not/here.png": Entry("keep", "by hand")})
    choose(port, (2, "keep"))
    choose(port, (1, ""))
    assert read_reviews(workspace / "data/review.csv") == {
        "not/here.png": Entry("keep", "by hand"),
        image_ids[2]: Entry("keep"),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Host": "elsewhere.example"},
        {"X_Facemask_Token": "a guess"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(port, workspace, headers):
    status, _ = choose(port, (1, "drop"), **headers)
    assert status == 403
    assert read_reviews(workspace / "data/review.csv") == {}


@pytest.mark.parametrize("path", ["/", "/picture/0", "/review", "/index.data/ids.json"])
def test_a_page_of_another_name_reads_nothing(port, path):
    assert ask(port, "GET", path, Host="elsewhere.example")[0] == 403


OTHERS = (
    "/../data/manifest.parquet /index.data/../evaluation.json /evaluation.json /index.data/%2e%2e/curation.json "
    "/picture/999999 /index.data"
)


@pytest.mark.parametrize("path", OTHERS.split())
def test_no_other_file_is_given(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{port}")
    connection.endheaders()
    assert connection.getresponse().status == 404


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        '{"place": 1}',
        '[{"place": 1}]',
        '[{"place": -1, "review": "drop"}]',
        '[{"place": 1, "review": "burn"}]',
        '[{"place": 99999, "review": "drop"}]',
    ],
)
def test_what_is_not_understood_changes_nothing(port, workspace, body):
    status, _ = ask(port, "POST", "/review", body, X_Facemask_Token=token(port))
    assert status == 400
    assert read_reviews(workspace / "data/review.csv") == {}


def test_a_picture_comes_from_its_archive_as_it_is(port, workspace):
    desk = open_desk(None)
    rows = pd.read_parquet("data/manifest.parquet").set_index("image_id")
    place = next(place for place, image_id in enumerate(desk.image_ids) if rows.loc[image_id, "accepted"])
    status, content = ask(port, "GET", f"/picture/{place}")
    assert status == 200
    assert len(content) == rows.loc[desk.image_ids[place], "bytes"]


def test_the_page_of_a_folder_is_reviewed_too(portraits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces of mine").mkdir()
    for number, portrait in enumerate(portraits[:3]):
        portrait.save(tmp_path / f"faces of mine/{number}.png")
    curate_folder(tmp_path / "faces of mine", tmp_path / "out", "unmasked", None)
    desk = open_desk(tmp_path / "out")
    for port in serving(desk):
        assert ask(port, "GET", "/picture/1")[1] == (tmp_path / "faces of mine/1.png").read_bytes()
        choose(port, (1, "drop"))
    assert list(read_reviews(tmp_path / "out/review.csv")) == ["faces of mine/1.png"]


def test_in_the_browser_a_choice_is_saved_and_another_tab_sees_it(browser, port, workspace):
    first, second = browser.new_page(), browser.new_page()
    for page in (first, second):
        page.goto(f"http://127.0.0.1:{port}/")
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
    image_ids = open_desk(None).image_ids
    assert read_reviews(workspace / "data/review.csv") == {image_ids[0]: Entry("drop"), image_ids[1]: Entry("keep")}
    second.locator(".cell").nth(1).dblclick()
    width = second.locator("dialog img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width > 96
    for page in (first, second):
        page.close()


def test_without_a_page_one_line_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"no page to review at reports/index\.html: make it by 'dvc repro'"):
        main(["review"])


def test_a_page_of_an_older_manifest_is_refused(workspace):
    ids = workspace / "reports/index.data/ids.json"
    ids.write_text(json.dumps(json.loads(ids.read_text())[1:]))
    with pytest.raises(FacemaskError, match="is not of the manifest"):
        open_desk(None)


def test_a_port_in_use_is_told_with_the_way_out(port, workspace):
    with pytest.raises(FacemaskError, match=f"port {port} is in use"):
        make_server(open_desk(None), port)
