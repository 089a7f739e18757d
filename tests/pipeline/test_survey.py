"""`facemask survey`: votes, their file and result, what the server tells a browser, and the page in a real browser."""

import io
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.report.local_page import listening, serving
from pipeline.report.survey.deck import SurveyPicture, neutral_png, order_for
from pipeline.report.survey.result import result_lines, survey_result, write_result
from pipeline.report.survey.server import SETTINGS, Survey, survey_app
from pipeline.report.survey.votes import Vote, append_vote, read_votes, standing_votes, voter_name
from tests.conftest import ROOT
from tests.pipeline.test_local_page import OpenPage

METHODS = ("cleverly", "clumsily")
PX = 16


def picture(number, kind, direction="mask", method=""):
    detail = 1 if kind == "check" else 256  # flat, as a patch: another file would be shorter
    pixels = np.random.default_rng(number).integers(0, detail, (PX, PX, 3), np.uint8)
    checkpoint = f"{method[:2]}0123456789"[:12] if method else ""
    return SurveyPicture(f"{number:016x}", kind, direction, method, checkpoint, neutral_png(pixels))


def deck():
    """8 made pictures of two methods in both directions, 8 real ones, 3 attention checks."""
    directions = [(place, ("mask", "unmask")[place % 2]) for place in range(8)]
    return [
        *(picture(place, "made", direction, METHODS[place // 2 % 2]) for place, direction in directions),
        *(picture(10 + place, "real", direction) for place, direction in directions),
        *(picture(20 + place, "check") for place in range(3)),
    ]


def vote_on(shown, vote, voter="ann", seconds=1.5):
    values = {key: value for key, value in asdict(shown).items() if key not in ("picture_id", "png")}
    return Vote(voter=voter, picture=shown.picture_id, vote=vote, seconds=seconds, **values)


def votes_on(pictures, vote, voter="ann"):
    return [vote_on(shown, vote, voter) for shown in pictures]


def checks_of(voter="ann", missed=0, seen=5):
    found = [picture(100 + place, "check") for place in range(seen)]
    return [*votes_on(found[:missed], "real", voter), *votes_on(found[missed:], "made", voter)]


# The file


def test_a_vote_is_one_more_line_and_earlier_lines_stay_as_they_are(tmp_path):
    path = tmp_path / "data/survey.jsonl"
    votes = [vote_on(shown, "real", voter) for shown, voter in zip(deck()[:3], ("ann", "bé", "ann"), strict=True)]
    before = b""
    for vote in votes:
        append_vote(path, vote)
        content = path.read_bytes()
        assert content.startswith(before) and content.count(b"\n") == before.count(b"\n") + 1
        before = content
    assert read_votes(path) == votes


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"voter": "ann", "pic',
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"<<<<<<< HEAD",
        json.dumps(asdict(vote_on(deck()[0], "real")) | {"vote": "perhaps"}).encode(),
        json.dumps(asdict(vote_on(deck()[0], "real")) | {"seconds": -1}).encode(),
        json.dumps(asdict(vote_on(deck()[0], "real")) | {"comment": "nice"}).encode(),
    ],
)
def test_a_damaged_line_is_a_one_line_error_with_its_number_and_what_to_do(tmp_path, damaged):
    path = tmp_path / "survey.jsonl"
    append_vote(path, vote_on(deck()[0], "real"))
    path.write_bytes(path.read_bytes() + damaged + b"\n")
    with pytest.raises(FacemaskError, match=r"survey\.jsonl, line 2 is not a vote .*: delete this line") as raised:
        read_votes(path)
    assert "\n" not in str(raised.value)


def test_a_line_that_was_cut_off_does_not_take_the_next_vote_with_it(tmp_path):
    path = tmp_path / "survey.jsonl"
    append_vote(path, vote_on(deck()[0], "real"))
    path.write_bytes(path.read_bytes() + b'{"voter": "an')
    append_vote(path, vote_on(deck()[1], "made"))
    lines = path.read_text().split("\n")
    path.write_text("\n".join(line for line in lines if line != '{"voter": "an'))
    assert [vote.vote for vote in read_votes(path)] == ["real", "made"]


def test_a_vote_that_was_taken_back_does_not_count_and_the_one_after_it_does():
    first, second = deck()[:2]
    lines = [vote_on(first, "real"), vote_on(second, "real"), vote_on(second, "undone"), vote_on(first, "undone")]
    assert standing_votes(lines) == []
    assert standing_votes([*lines, vote_on(second, "made")]) == [vote_on(second, "made")]


def test_a_name_counts_without_capitals_and_extra_spaces():
    assert voter_name("  Ann \t B ") == voter_name("ann b") == "ann b"


@pytest.mark.parametrize("name", ["", "  ", "\n", "a" * 41])
def test_no_name_and_a_long_one_are_refused(name):
    with pytest.raises(ValueError, match="name"):
        voter_name(name)


# The result


def test_fooled_is_the_share_of_made_pictures_called_real_with_wilsons_interval():
    made = [picture(place, "made", "mask", "cleverly") for place in range(10)]
    result = survey_result([*checks_of(), *votes_on(made[:4], "real"), *votes_on(made[4:], "made")])
    shares = result["methods"]["cleverly"]["mask"]
    # Wilson 1927, 4 of 10: (0.4 + z²/20 ± z sqrt(0.4 * 0.6 / 10 + z²/400)) / (1 + z²/10), z = 1.96
    assert shares == {
        "fooled": 0.4,
        "low": pytest.approx(0.1682, abs=1e-4),
        "high": pytest.approx(0.6873, abs=1e-4),
        "votes": 10,
    }


def test_methods_and_directions_are_counted_apart_and_real_pictures_beside_them():
    pictures = deck()
    called_real = [shown for shown in pictures if (shown.method, shown.direction) == ("cleverly", "unmask")]
    others = [shown for shown in pictures if shown not in called_real]
    result = survey_result([*votes_on(called_real, "real"), *votes_on(others, "made")])
    fooled = {
        (name, direction): values[direction]["fooled"]
        for name, values in result["methods"].items()
        for direction in ("mask", "unmask")
    }
    assert fooled == {
        ("cleverly", "mask"): 0,
        ("cleverly", "unmask"): 1,
        ("clumsily", "mask"): 0,
        ("clumsily", "unmask"): 0,
    }
    assert {direction: (share["called_real"], share["votes"]) for direction, share in result["real"].items()} == {
        "mask": (0, 4),
        "unmask": (0, 4),
    }
    lines = result_lines(result)
    assert "made by cleverly, masks taken off: 100.0% of 2 called real (95 %: 34.2% to 100.0%)" in lines
    assert "real, without masks: 0.0% of 4 called real (95 %: 0.0% to 49.0%)" in lines
    assert result["study"] == {"fooled": 0.4, "votes": 2200}


@pytest.mark.parametrize(
    ("missed", "seen", "excluded"),
    [(0, 1, False), (1, 1, True), (1, 4, True), (1, 5, False), (2, 5, True), (0, 0, True)],
)
def test_who_misses_more_than_a_fifth_of_the_attention_checks_is_excluded(missed, seen, excluded):
    shown = picture(1, "made", "mask", "cleverly")
    counted = [*checks_of("bob"), vote_on(shown, "made", "bob")]
    result = survey_result([*counted, *checks_of("ann", missed, seen), vote_on(shown, "real", "ann")])
    assert (result["people"], result["excluded"]) == ((1, 1) if excluded else (2, 0))
    assert result["methods"]["cleverly"]["mask"]["fooled"] == (0 if excluded else 0.5)
    assert ("excluded, for missed attention checks or none seen: 1 person" in result_lines(result)[0]) == excluded


def test_votes_on_an_earlier_checkpoint_of_the_same_name_do_not_count():
    earlier = picture(1, "made", "mask", "cleverly")
    latest = replace(picture(2, "made", "mask", "cleverly"), checkpoint="f" * 12)
    result = survey_result([*checks_of(), vote_on(earlier, "real"), vote_on(latest, "made")])
    assert result["methods"]["cleverly"] == {
        "checkpoint": "f" * 12,
        "mask": {"fooled": 0, "low": 0, "high": pytest.approx(0.7935, abs=1e-4), "votes": 1},
    }


def test_the_result_in_the_project_is_that_of_its_votes():
    paths = Paths(ROOT)
    assert json.loads(paths.survey_result.read_text()) == survey_result(read_votes(paths.survey))


def test_without_votes_the_result_is_empty_and_the_study_is_named():
    assert survey_result([]) == {}
    assert result_lines({}) == ["no votes yet", "the original study: 40% of 2,200"]


def test_dvc_shows_the_result_as_a_metric_and_no_stage_makes_it(tmp_path):
    text = (ROOT / "dvc.yaml").read_text()
    assert str(Paths().survey_result) in yaml.safe_load(text)["metrics"]
    assert "survey" not in str(yaml.safe_load(text)["stages"])
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"metrics": yaml.safe_load(text)["metrics"]}))
    shown = picture(1, "made", "mask", "cleverly")
    for vote in [*checks_of(), vote_on(shown, "real"), vote_on(picture(2, "real"), "real")]:
        append_vote(tmp_path / "data/survey.jsonl", vote)
    write_result(tmp_path / "data/survey.jsonl", tmp_path / "data/survey.json")

    def dvc(*words):
        command = [sys.executable, "-m", "dvc", *words]
        environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    dvc("init", "--quiet", "--no-scm")
    metric = json.loads(dvc("metrics", "show", "--json"))[""]["data"]["data/survey.json"]["data"]
    assert metric == json.loads((tmp_path / "data/survey.json").read_text())
    assert metric["methods"]["cleverly"]["mask"]["fooled"] == 1


@pytest.mark.parametrize("name", ["data/survey.jsonl", "data/survey.json"])
def test_votes_and_result_can_be_committed(name, tmp_path):
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=tmp_path, check=False).returncode == 1


# The order


def test_each_person_sees_each_picture_once_in_an_order_of_their_own():
    pictures = deck()
    orders = {name: order_for(name, 0, pictures) for name in ("ann", "bob")}
    assert all(sorted(order) == list(range(len(pictures))) for order in orders.values())
    assert orders["ann"] != orders["bob"]
    assert order_for("ann", 0, pictures) == orders["ann"] != order_for("ann", 1, pictures)


@pytest.mark.parametrize("seed", range(5))
def test_attention_checks_are_spread_over_the_whole_survey(seed):
    pictures = [
        *(picture(place, "real") for place in range(60)),
        *(picture(100 + place, "check") for place in range(3)),
    ]
    places = [
        place for place, number in enumerate(order_for("ann", seed, pictures)) if pictures[number].kind == "check"
    ]
    assert [place // 21 for place in places] == [0, 1, 2]


# The server


@contextmanager
def served(folder, pictures=None, seed=0):
    survey = Survey(pictures or deck(), seed, folder / "data/survey.jsonl", folder / "data/survey.json")
    with listening(0) as listener, serving(survey_app(survey), listener, SETTINGS) as address:
        yield OpenPage(address)


@pytest.fixture
def opened(tmp_path):
    with served(tmp_path) as page:
        yield page


def post(page, path, **values):
    response, content = page.request("POST", path, json.dumps(values), Content_Type="application/json")
    return response.status, content.decode()


def state_of(page, voter="ann"):
    return json.loads(post(page, "/state", voter=voter)[1])


def vote_once(page, vote="made", voter="ann"):
    """Vote on the next picture; returns its number."""
    number = state_of(page, voter)["next"][0]
    status, text = post(page, "/vote", voter=voter, picture=number, vote=vote, seconds=2)
    assert status == 200, text
    return number


def vote_on_all(page, vote="made", voter="ann"):
    while state_of(page, voter)["next"]:
        vote_once(page, vote, voter)


def test_before_the_end_nothing_that_the_server_sends_says_what_a_picture_is(opened):
    told = [opened.request(path=path)[1].decode() for path in ("/", "/script/start.js")]
    for _ in range(len(deck()) - 1):
        number = state_of(opened)["next"][0]
        told.append(post(opened, "/vote", voter="ann", picture=number, vote="real", seconds=1)[1])
    told.append(post(opened, "/undo", voter="ann")[1])
    words = [*METHODS, *(shown.picture_id for shown in deck()), *(shown.checkpoint for shown in deck() if shown.method)]
    assert [word for word in words if word in "".join(told)] == []
    assert set(json.loads(told[-1])) == {"voter", "done", "total", "next", "canUndo"}
    status, text = post(opened, "/result", voter="ann")
    assert (status, text) == (409, "the answers are shown when you have voted on all pictures")


def test_all_pictures_are_png_of_one_length_without_metadata(opened):
    responses = [opened.request(path=f"/picture/{number}") for number in range(len(deck()))]
    assert {(response.status, response.headers["Content-Type"]) for response, _ in responses} == {(200, "image/png")}
    assert len({len(content) for _, content in responses}) == 1
    for _, content in responses:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as shown:
            shown.load()
            assert (shown.size, shown.mode, shown.info) == ((PX, PX), "RGB", {})


def test_a_survey_goes_on_where_it_was_stopped(tmp_path):
    with served(tmp_path) as page:
        seen = [vote_once(page) for _ in range(7)]
    with served(tmp_path) as page:
        assert (state_of(page)["done"], state_of(page)["total"]) == (7, 19)
        while state_of(page)["next"]:
            seen.append(vote_once(page))
    assert sorted(seen) == list(range(19))


def test_a_picture_is_not_shown_again_in_another_survey(tmp_path):
    with served(tmp_path, deck()[4:12]) as page:
        vote_on_all(page)
    with served(tmp_path, seed=1) as page:
        left = []
        while state_of(page)["next"]:
            left.append(vote_once(page))
    assert sorted(left) == [*range(4), *range(12, 19)]


def test_a_picture_takes_one_vote_also_from_two_tabs(opened, tmp_path):
    number = vote_once(opened)
    status, text = post(opened, "/vote", voter="ann", picture=number, vote="real", seconds=1)
    assert status == 409 and text.endswith("reload the page")
    assert [vote.vote for vote in read_votes(tmp_path / "data/survey.jsonl")] == ["made"]


def test_the_last_vote_can_be_taken_back_and_its_picture_comes_again(opened, tmp_path):
    vote_once(opened)
    number = vote_once(opened, "real")
    assert post(opened, "/undo", voter="ann")[0] == 200
    assert state_of(opened)["next"][0] == number
    vote_once(opened, "made")
    assert [vote.vote for vote in standing_votes(read_votes(tmp_path / "data/survey.jsonl"))] == ["made", "made"]


def test_after_the_answers_no_vote_can_be_taken_back(opened, tmp_path):
    vote_on_all(opened)
    assert state_of(opened)["canUndo"]
    assert post(opened, "/result", voter="ann")[0] == 200
    assert not state_of(opened)["canUndo"]
    assert post(opened, "/undo", voter="ann")[0] == 409


def test_the_result_of_a_finished_person_says_what_each_picture_was_and_is_written(opened, tmp_path):
    vote_on_all(opened, "real")
    answers = json.loads(post(opened, "/result", voter="ANN")[1])
    assert [(one["kind"], one["direction"], one["method"]) for one in answers["pictures"]] == [
        (shown.kind, shown.direction, shown.method) for shown in deck()
    ]
    assert {one["vote"] for one in answers["pictures"]} == {"real"}
    assert (answers["excluded"], answers["checks"]) == (True, {"missed": 3, "seen": 3})
    assert json.loads((tmp_path / "data/survey.json").read_text())["excluded"] == 1


def test_several_people_vote_into_one_file(opened, tmp_path):
    for voter in ("ann", "bob"):
        vote_on_all(opened, voter=voter)
    votes = read_votes(tmp_path / "data/survey.jsonl")
    assert [sum(vote.voter == voter for vote in votes) for voter in ("ann", "bob")] == [19, 19]


@pytest.mark.parametrize(
    "values",
    [
        {"voter": "ann", "picture": 99, "vote": "made", "seconds": 1},
        {"voter": "ann", "picture": -1, "vote": "made", "seconds": 1},
        {"voter": "", "picture": 0, "vote": "made", "seconds": 1},
        {"voter": "ann", "picture": 0, "vote": "undone", "seconds": 1},
        {"voter": "ann", "picture": 0, "vote": "made", "seconds": -1},
        {"voter": "ann"},
    ],
)
def test_an_invalid_vote_is_refused_in_one_line_and_not_saved(opened, tmp_path, values):
    status, text = post(opened, "/vote", **values)
    assert status in (400, 409) and "\n" not in text
    assert not (tmp_path / "data/survey.jsonl").exists()


def test_a_file_that_is_damaged_meanwhile_is_a_one_line_error_on_the_page(opened, tmp_path):
    vote_once(opened)
    (tmp_path / "data/survey.jsonl").write_text("{\n")
    status, text = post(opened, "/state", voter="ann")
    assert status == 500 and "line 1 is not a vote" in text and "\n" not in text


@pytest.mark.parametrize("path", ["/server.py", "/script/../server.py", "/script/zoom.js", "/picture/99", "/data"])
def test_only_the_pages_own_files_are_served(opened, path):
    assert opened.request(path=path)[0].status == 404


def test_the_votes_of_others_need_the_token(opened):
    response, _ = opened.request("POST", "/state", '{"voter": "ann"}', Cookie=None, Content_Type="application/json")
    assert response.status == 403


# The page in a browser


@pytest.fixture
def tab(browser, opened):
    """A function that opens the page; the console must have no messages, and no request may leave this server."""
    contexts, problems = [], []

    def open_tab(**settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        own = (f"http://127.0.0.1:{opened.port}/", "data:")
        page.on("request", lambda request: request.url.startswith(own) or problems.append(request.url))
        page.goto(opened.address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert problems == []


def begin(page, name="Ann"):
    page.get_by_label("Your name or initials").fill(name)
    page.get_by_role("button", name="Begin").click()
    at(page, 1)


def at(page, number):
    """Wait until the picture of this number can be voted on."""
    page.locator("#count", has_text=f"{number} of 19").wait_for()
    page.wait_for_selector("#ballot:not(.waiting)")


def votes_in(tmp_path):
    return [vote.vote for vote in read_votes(tmp_path / "data/survey.jsonl")]


def test_in_the_browser_one_key_is_one_vote_and_u_takes_it_back(tab, tmp_path):
    page = tab()
    begin(page)
    for number, key in enumerate(("r", "m", "ArrowLeft", "ArrowRight", "R"), 2):
        page.keyboard.press(key)
        at(page, number)
    page.keyboard.press("u")
    at(page, 5)
    assert votes_in(tmp_path) == ["real", "made", "real", "made", "real", "undone"]
    assert {vote.voter for vote in read_votes(tmp_path / "data/survey.jsonl")} == {"ann"}


def test_in_the_browser_a_key_that_is_held_down_is_one_vote(tab, tmp_path):
    page = tab()
    begin(page)
    page.keyboard.down("m")
    at(page, 2)
    page.keyboard.down("m")
    page.wait_for_timeout(200)
    assert votes_in(tmp_path) == ["made"]


def test_in_the_browser_letters_of_a_name_are_no_votes(tab, tmp_path):
    page = tab()
    page.get_by_label("Your name or initials").press_sequentially("mrm")
    page.keyboard.press("Enter")
    at(page, 1)
    assert not (tmp_path / "data/survey.jsonl").exists()


def test_in_the_browser_a_reload_goes_on_under_the_same_name(tab, tmp_path):
    page = tab()
    begin(page)
    page.keyboard.press("m")
    at(page, 2)
    page.reload()
    at(page, 2)
    assert page.locator("#voter-now").inner_text() == "ann"


def test_in_the_browser_the_end_shows_which_pictures_fooled_the_person(tab, tmp_path):
    page = tab()
    begin(page)
    kinds = {shown.picture_id: shown.kind for shown in deck()}
    order = [deck()[number].picture_id for number in order_for("ann", 0, deck())]
    fooled = 0
    for number, picture_id in enumerate(order, 2):
        if kinds[picture_id] == "made" and fooled < 3:
            page.keyboard.press("r")
            fooled += 1
        else:
            page.keyboard.press("m")
        if number <= len(order):
            at(page, number)
    page.get_by_role("button", name="Show my result").click()
    page.get_by_role("heading", name="3 of 8 made pictures fooled you").wait_for()
    gallery = page.locator("details", has_text="Made, and you called them real (3)").locator("figure")
    assert gallery.count() == 3
    assert {text.split(",")[0] for text in gallery.all_inner_texts()} <= set(METHODS)
    assert page.locator("#undo").is_hidden() and page.locator("#excluded").is_hidden()
    page.get_by_role("button", name="Next person").click()
    begin(page, "Bob")


def test_in_the_browser_who_missed_the_attention_checks_is_told_so(tab):
    page = tab()
    begin(page)
    for number in range(2, 20):
        page.keyboard.press("r")
        at(page, number)
    page.keyboard.press("r")
    page.get_by_role("button", name="Show my result").click()
    page.get_by_text("You called 3 of 3 plainly made pictures real.").wait_for()


def test_in_the_browser_pictures_are_512_px_or_larger(tab):
    for size in ({"width": 1200, "height": 600}, {"width": 1200, "height": 1000}):
        page = tab(viewport=size)
        begin(page, str(size["height"]))
        box = page.locator("#picture").bounding_box()
        assert box["width"] == box["height"] >= 512


def test_on_a_phone_all_is_on_the_screen_and_a_tap_is_a_vote(tab, tmp_path):
    page = tab(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    begin(page)
    for name in ("#picture", "#real", "#made", "#undo"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 700
    assert page.locator("#picture").bounding_box()["width"] > 350
    page.locator("#made").tap()
    at(page, 2)
    page.locator("#undo").tap()
    at(page, 1)
    assert votes_in(tmp_path) == ["made", "undone"]


@pytest.mark.parametrize("address", ["**/vote", "**/picture/*"])
def test_in_the_browser_a_server_that_has_ended_is_said(browser, opened, address):
    page = browser.new_page()
    page.goto(opened.address)
    page.get_by_label("Your name or initials").fill("ann")
    page.route(address, lambda route: route.abort())
    page.get_by_role("button", name="Begin").click()
    page.locator("#count", has_text="1 of 19").wait_for()
    page.wait_for_timeout(100)  # the picture is there, or has failed
    page.keyboard.press("m")
    page.get_by_role("alert").get_by_text("start 'facemask survey' again").wait_for(timeout=15_000)
    page.close()
