"""The page in a real browser, opened from disk: filter, move limits, keep and drop, and curate with the result."""

import datetime
import io
import json
import re
import shutil
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from pipeline.curation.groups import SKIN_TONE, group_labels
from pipeline.curation.reasons import REASON_NAMES
from pipeline.curation.reviews import Review, read_reviews
from pipeline.curation.selection import image_features
from pipeline.report.page import script
from pipeline.tools.curate_folder import curate_folder
from tests.conftest import ROOT, curate_here, inside, report_here


@pytest.fixture
def workspace(report_workspace, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(report_workspace, folder)
    return folder


@pytest.fixture
def opened(browser, workspace):
    """The page. The console must have no messages at the end."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.set_default_timeout(15_000)
    page.goto((workspace / "reports/index.html").as_uri())
    to_images(page)
    yield page
    page.close()
    assert messages == []


def to_images(page):
    page.wait_for_selector("html[data-ready]")
    page.evaluate("document.getElementById('bar').scrollIntoView()")
    page.wait_for_selector(".cell")


def unfold(page, name):
    """Open one of the page's folds, which are closed at first."""
    page.evaluate("name => { document.getElementById(name).open = true; }", name)


def rows_of(workspace):
    return pd.read_parquet(workspace / "data/manifest.parquet")


def in_page_order(workspace):
    image_ids = json.loads((workspace / "reports/index.data/ids.json").read_text())
    return rows_of(workspace).set_index("image_id", drop=False).loc[image_ids]


def shown(page):
    return int(page.locator("#shown").inner_text().split(" of ")[0].replace(",", ""))


def pick(page, **filters):
    for name, value in filters.items():
        page.locator(f"select[name={name}]").select_option(value)


def slide(page, limit, value):
    unfold(page, "limits")
    page.get_by_label(limit, exact=True).fill(str(value))
    page.wait_for_function("limit => document.getElementById('moved-lines').textContent.includes(limit)", arg=limit)


def test_the_browser_evaluates_the_rules_as_curate_does(opened, workspace):
    rows = in_page_order(workspace)
    bits = [sum(1 << REASON_NAMES.index(reason) for reason in reasons) for reasons in rows["reasons"]]
    assert opened.evaluate("[...facemask.verdicts()]") == bits


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({"verdict": "nose_uncovered"}, lambda rows: ["nose_uncovered" in reasons for reasons in rows["reasons"]]),
        ({"verdict": "accepted", "domain": "masked"}, lambda rows: rows["accepted"] & (rows["domain"] == "masked")),
        (
            {"claimed": "correct", "verdict": "rejected"},
            lambda rows: (rows["claimed"] == "correct") & ~rows["accepted"],
        ),
        ({"group": "head turned by: no face"}, lambda rows: rows["faces"] == 0),
        ({"split": "train", "source": "ffhq"}, lambda rows: (rows["split"] == "train") & (rows["source"] == "ffhq")),
    ],
)
def test_a_filter_shows_the_images_that_the_manifest_names(opened, workspace, filters, holds):
    pick(opened, **filters)
    assert shown(opened) == sum(holds(rows_of(workspace))) > 0


def test_a_verdict_in_the_table_filters_the_gallery(opened, workspace):
    opened.locator("#verdicts a", has_text="duplicate").first.click()
    assert opened.locator("select[name=verdict]").input_value() == "duplicate"
    assert shown(opened) > 0


def test_a_number_of_who_is_dropped_shows_the_images_behind_it(opened, workspace):
    rows = rows_of(workspace)
    groups = group_labels(rows, SKIN_TONE)
    unfold(opened, "groups")
    for link in opened.locator("#groups a").filter(has_text=re.compile(r"^\d+$")).all():
        wanted, number = json.loads(link.get_attribute("data-show")), int(link.inner_text())
        if not wanted["group"].startswith("skin tone: "):
            continue
        link.click()
        assert shown(opened) == number > 0
        within = (groups == wanted["group"].removeprefix("skin tone: ")) & (rows["domain"] == wanted["domain"])
        assert number == sum(within & ~rows["accepted"] if "verdict" in wanted else within)


def test_images_are_sorted_by_a_measurement(opened, workspace):
    pick(opened, sort="sharpness", order="descending")
    opened.locator(".cell").first.dblclick()
    best = rows_of(workspace).set_index("image_id")["sharpness"].idxmax()
    assert opened.locator("dialog h2").inner_text() == best


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_images_without_the_measurement_come_last_in_either_order(opened, workspace, order):
    pick(opened, sort="sharpness", order=order)
    measured = in_page_order(workspace)["sharpness"].notna().to_numpy()
    for key, expected in (("End", False), ("Home", True)):
        opened.locator("#grid").press(key)
        assert measured[int(opened.locator(".cell.cursor").get_attribute("data-index"))] == expected


def test_a_moved_limit_shows_the_changed_verdicts_and_the_lines_for_params_yaml(opened, workspace):
    slide(opened, "min_cover_chin", 0.85)
    summary = opened.locator("#moved-count").inner_text()
    assert opened.locator("#moved-lines").inner_text() == "curate:\n  min_cover_chin: 0.85"
    opened.locator("#moved a").click()
    changing = shown(opened)
    assert changing > 0
    assert summary == f"{changing} images would change: 0 would be kept, {changing} would be rejected."

    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["curate"] |= yaml.safe_load(opened.locator("#moved-lines").inner_text())["curate"]
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    before = rows_of(workspace)["accepted"]
    with inside(workspace):
        curate_here()
    after = rows_of(workspace)
    assert (before & ~after["accepted"]).sum() == changing
    opened.locator("#reset").click()
    assert opened.locator("#moved").is_hidden()


def test_dropped_images_are_rejected_when_curate_runs_again(opened, workspace):
    pick(opened, verdict="accepted", domain="unmasked")
    cells = opened.locator(".cell")
    cells.nth(1).click()
    cells.nth(3).click(modifiers=["Control"])
    opened.locator("#grid").press("d")
    opened.wait_for_selector(".badge.drop")
    assert opened.locator(".badge.drop").count() == 2
    with opened.expect_download() as downloaded:
        opened.get_by_role("button", name="review.csv").click()
    downloaded.value.save_as(workspace / "data/review.csv")
    with inside(workspace):
        curate_here()
    dropped = rows_of(workspace).query("review == 'drop'")
    assert len(dropped) == 2
    assert [list(reasons) for reasons in dropped["reasons"]] == [["dropped_in_review"]] * 2
    with inside(workspace):
        report_here()
    opened.reload()
    to_images(opened)
    pick(opened, verdict="dropped_in_review")
    assert shown(opened) == 2


def test_reviews_on_a_page_from_disk_survive_a_reload(opened):
    opened.locator(".cell").nth(2).click()
    opened.get_by_role("button", name="Keep").click()
    opened.wait_for_selector(".badge.keep")
    opened.reload()
    to_images(opened)
    opened.wait_for_selector(".badge.keep")
    assert "1 choice from an earlier visit" in opened.locator("#saved").inner_text()


def test_shift_click_selects_a_range_and_one_key_clears_all_its_reviews(opened):
    opened.locator(".cell").nth(0).click()
    opened.locator(".cell").nth(4).click(modifiers=["Shift"])
    assert "5 selected" in opened.locator("#shown").inner_text()
    opened.locator("#grid").press("d")
    opened.wait_for_selector(".badge.drop")
    opened.locator("#grid").press("u")
    opened.wait_for_function("document.querySelectorAll('.badge').length === 0")


def test_a_search_shows_the_images_whose_path_contains_the_words(opened, workspace):
    part = "00003"
    expected = rows_of(workspace)["image_id"].str.contains(part, regex=False).sum()
    opened.keyboard.press("/")
    opened.keyboard.type(part)
    opened.wait_for_function("count => document.querySelectorAll('.cell').length === count", arg=int(expected))
    assert shown(opened) == expected > 0


def test_a_search_does_not_tell_upper_from_lower_case(opened, workspace):
    expected = rows_of(workspace)["image_id"].str.contains("_mask", regex=False, case=False).sum()
    opened.get_by_label("name contains").fill("_MaSk")
    opened.wait_for_function(
        "count => document.getElementById('shown').textContent.startsWith(count)", arg=f"{expected} "
    )
    assert expected > 0


def test_where_nothing_matches_the_page_says_why_and_clears_the_filters(opened, workspace):
    pick(opened, verdict="accepted")
    opened.get_by_label("name contains").fill("no such name")
    opened.wait_for_selector("#nothing:visible")
    assert "name contains “no such name”, verdict: accepted" in opened.locator("#nothing").inner_text()
    opened.locator("#nothing button").click()
    assert opened.locator("#nothing").is_hidden()
    assert shown(opened) == len(rows_of(workspace))
    assert opened.get_by_label("name contains").input_value() == ""


def test_the_slider_changes_the_size_of_the_thumbnails(opened):
    for px in (64, 160):
        opened.get_by_label("thumbnail size").fill(str(px))
        assert px <= opened.locator(".cell canvas").first.bounding_box()["width"] <= 1.35 * px


def test_a_reload_restores_the_view_and_the_opened_image(opened):
    pick(opened, verdict="rejected", sort="sharpness", order="descending")
    opened.get_by_label("thumbnail size").fill("64")
    slide(opened, "min_cover_chin", 0.85)
    count = shown(opened)
    opened.locator(".cell").nth(2).dblclick()
    opened.wait_for_selector("dialog[open]")
    name = opened.locator("dialog h2").inner_text()
    opened.wait_for_function("name => new URLSearchParams(location.hash.slice(1)).get('image') === name", arg=name)
    opened.reload()
    opened.wait_for_selector("dialog[open]")
    assert opened.locator("dialog h2").inner_text() == name
    assert opened.get_by_label("thumbnail size").input_value() == "64"
    assert opened.locator("#moved-lines").inner_text() == "curate:\n  min_cover_chin: 0.85"
    opened.locator("dialog").press("Escape")
    assert opened.locator("select[name=order]").input_value() == "descending"
    assert shown(opened) == count


def test_back_closes_the_opened_image_and_keeps_the_filters(opened):
    pick(opened, verdict="rejected")
    opened.wait_for_function("location.hash === '#verdict=rejected'")
    opened.locator(".cell").first.dblclick()
    opened.wait_for_function("location.hash.includes('image=')")
    opened.go_back()
    opened.wait_for_selector("dialog", state="hidden")
    assert opened.locator("select[name=verdict]").input_value() == "rejected"


def test_an_address_with_values_of_another_page_shows_all_images(opened, workspace):
    url = opened.url.split("#")[0]
    opened.goto("about:blank")
    opened.goto(f"{url}#verdict=none_such&sort=constructor&size=1e9&min_px=x&image=gone.png&toString=1")
    to_images(opened)
    assert shown(opened) == len(rows_of(workspace))
    assert not opened.locator("dialog").is_visible()


def badges(page):
    return page.locator(".badge").all_inner_texts()


def test_ctrl_z_undoes_the_last_reviews_one_by_one_and_ctrl_shift_z_redoes_them(opened):
    cells, grid = opened.locator(".cell"), opened.locator("#grid")
    cells.nth(0).click()
    grid.press("d")
    opened.wait_for_selector(".badge.drop")
    cells.nth(1).click()
    cells.nth(2).click(modifiers=["Shift"])
    grid.press("k")
    opened.wait_for_function("document.querySelectorAll('.badge.keep').length === 2")
    assert opened.locator("#reviewed").inner_text() == "3 reviewed: 2 keep, 1 drop"
    grid.press("Control+z")
    opened.wait_for_function("document.querySelectorAll('.badge').length === 1")
    assert badges(opened) == ["drop"]
    assert opened.locator("#undone").inner_text() == "Undone: keep, 2 images"
    grid.press("Control+z")
    opened.wait_for_function("document.querySelectorAll('.badge').length === 0")
    assert opened.locator("#reviewed").inner_text() == "0 reviewed"
    assert opened.locator("#undo").is_disabled()
    grid.press("Control+Shift+Z")
    grid.press("Control+Shift+Z")
    opened.wait_for_function("document.querySelectorAll('.badge').length === 3")
    assert badges(opened) == ["drop", "keep", "keep"]


def test_undo_brings_back_the_earlier_review_with_its_note(opened):
    opened.locator(".cell").first.dblclick()
    opened.get_by_label("Note").fill("first")
    opened.locator("dialog").get_by_role("button", name="Keep").click()
    opened.wait_for_selector("dialog b")
    opened.get_by_label("Note").fill("second")
    opened.locator("dialog").get_by_role("button", name="Drop").click()
    opened.wait_for_function("document.querySelector('dialog b').innerText === 'drop (review)'")
    opened.locator("dialog h2").click()
    opened.keyboard.press("Control+z")
    opened.wait_for_function("document.querySelector('dialog b').innerText === 'keep (review)'")
    opened.keyboard.press("Control+z")  # the note was a step of its own
    opened.wait_for_function("document.querySelector('dialog input[type=text]').value === 'first'")
    assert opened.locator("dialog b").inner_text() == "keep (review)"


def test_ctrl_z_in_a_text_undoes_no_review(opened):
    opened.locator(".cell").first.click()
    opened.locator("#grid").press("d")
    opened.wait_for_selector(".badge.drop")
    opened.get_by_label("name contains").press("Control+z")
    opened.wait_for_timeout(200)
    assert badges(opened) == ["drop"]


def test_the_table_of_labels_counts_the_verdicts_of_each_label_and_filters_the_gallery(opened, workspace):
    unfold(opened, "labels")
    rows = rows_of(workspace)
    links = opened.locator("#confusion a").all()
    for link in links:
        wanted, count = json.loads(link.get_attribute("data-show")), int(link.inner_text())
        of_label = rows["claimed"].isna() if wanted["claimed"] == "none" else rows["claimed"] == wanted["claimed"]
        verdict = wanted["verdict"]
        has = rows["accepted"] if verdict == "accepted" else rows["reasons"].map(lambda reasons: verdict in reasons)  # noqa: B023
        assert count == (of_label & has).sum() > 0
    links[-1].click()
    assert shown(opened) == int(links[-1].inner_text())


def test_the_table_of_labels_follows_moved_limits(opened):
    unfold(opened, "labels")
    link = opened.locator("""[data-show='{"claimed":"correct","verdict":"accepted"}']""")
    before = int(link.inner_text())
    slide(opened, "min_cover_chin", 1)
    opened.wait_for_selector("#moved:visible")
    assert (int(link.inner_text()) if link.count() else 0) < before


def test_similar_faces_are_of_the_same_domain_and_open_and_fill_the_gallery(opened, workspace):
    rows = in_page_order(workspace)
    open_first(opened, verdict="accepted", domain="masked")
    name = opened.locator("dialog h2").inner_text()
    opened.locator(".similar summary").click()
    opened.wait_for_selector(".similar-row canvas")
    near = [
        int(index)
        for index in opened.locator(".similar-row canvas").evaluate_all("all => all.map(one => one.dataset.index)")
    ]
    assert len(near) == 12 == len(set(near)) and name not in set(rows["image_id"].iloc[near])
    assert set(rows["domain"].iloc[near]) == {"masked"}
    features = image_features(rows)
    index = rows.index.get_loc(name)
    distances = ((features - features[index]) ** 2).sum(axis=1)
    is_candidate = (rows["domain"] == "masked").to_numpy() & rows["yaw"].notna().to_numpy()
    is_candidate[index] = False
    nearest = np.flatnonzero(is_candidate)[np.argsort(distances[is_candidate])]
    assert near[0] == nearest[0] and len(set(near) & set(nearest[:12])) >= 10
    opened.get_by_role("button", name="Show more in the gallery").click()
    opened.wait_for_selector("dialog", state="hidden")
    cells = opened.locator(".cell").evaluate_all("cells => cells.map(cell => Number(cell.dataset.index))")
    assert cells[:13] == [index, *near]
    opened.get_by_role("button", name="Clear filters").first.click()
    assert shown(opened) == len(rows)


@pytest.fixture
def other_run(workspace, tmp_path):
    """The manifest and run.js of a run with another limit, and without one image."""
    folder = tmp_path / "other"
    shutil.copytree(workspace, folder)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["curate"]["min_cover_chin"] = 0.85
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    with inside(folder):
        curate_here()
        report_here()
    return pd.read_parquet(folder / "data/manifest.parquet"), folder / "reports/index.data/run.js"


def test_two_runs_compared_show_which_images_changed_sides_and_why(opened, workspace, other_run):
    before, file = other_run
    now = rows_of(workspace)
    kept = now["accepted"] & now["image_id"].isin(before[~before["accepted"]]["image_id"])
    unfold(opened, "compare")
    opened.set_input_files("#other-run", file)
    opened.wait_for_selector("#compared table")
    rows = [row.split("\t") for row in opened.locator("#compared tr").all_inner_texts()]
    assert ["kept now", "", str(kept.sum())] in rows and ["", "was chin_uncovered", str(kept.sum())] in rows
    assert not any("rejected now" in row for row in rows)
    limit = yaml.safe_load((workspace / "params.yaml").read_text())["curate"]["min_cover_chin"]
    assert opened.locator("#compared li").all_inner_texts() == [f"curate.min_cover_chin: 0.85 → {limit}"]
    opened.locator("#compared a").first.click()
    assert shown(opened) == kept.sum() > 0
    opened.locator(".cell").first.dblclick()
    opened.wait_for_selector("dialog[open]")
    assert opened.locator("dialog h2").inner_text() in set(now[kept]["image_id"])
    assert "In the other run" in (text := opened.locator(".verdict").inner_text()) and "chin_uncovered" in text


def test_a_file_that_is_no_run_is_refused_with_the_name_of_the_right_one(opened, workspace):
    unfold(opened, "compare")
    opened.set_input_files("#other-run", workspace / "reports/index.data/columns.js")
    opened.locator("#compared", has_text="choose index.data/run.js").wait_for()


def test_the_keyboard_alone_moves_selects_and_opens(opened):
    grid = opened.locator("#grid")
    grid.focus()
    for key in ("ArrowRight", "ArrowRight", "Space"):
        grid.press(key)
    assert opened.locator(".cell").nth(2).get_attribute("aria-selected") == "true"
    grid.press("Enter")
    opened.wait_for_selector("dialog[open]")
    first = opened.locator("dialog h2").inner_text()
    opened.locator("dialog").press("ArrowRight")
    opened.wait_for_function("was => document.querySelector('dialog h2').innerText !== was", arg=first)
    opened.locator("dialog").press("Escape")
    assert not opened.locator("dialog").is_visible()


def open_first(page, **filters):
    """Open the first image that passes the filters."""
    pick(page, **filters)
    page.locator(".cell").first.dblclick()
    page.wait_for_selector("dialog[open]")


def test_the_large_view_shows_reasons_landmarks_and_origin(opened):
    open_first(opened, verdict="duplicate")
    box = opened.locator("dialog")
    text = box.inner_text()
    assert "duplicate: Near-duplicate of an image that was kept." in text
    assert "licence" in text and "author" in text
    assert box.locator("polygon.region").count() == 7


def test_each_value_stands_beside_its_limit_and_those_not_met_are_marked(opened, workspace):
    open_first(opened, verdict="nose_uncovered")
    name = opened.locator("dialog h2").inner_text()
    row = rows_of(workspace).set_index("image_id").loc[name]
    limit = yaml.safe_load((workspace / "params.yaml").read_text())["curate"]["min_cover_nose"]
    cells = opened.locator("tr[data-limit=min_cover_nose] td").all_inner_texts()
    assert cells[0] == "cover_nose\nnose_uncovered"
    assert float(cells[1]) == pytest.approx(row["cover_nose"], abs=0.001) and cells[2] == f"at least {limit}"
    marked = opened.locator("tr.beyond-limit .meaning").all_inner_texts()
    assert set(marked) == set(row["reasons"]) - {"duplicate"}


def scale(page, stage=0):
    return page.evaluate(
        "n => new DOMMatrix(getComputedStyle(document.querySelectorAll('.layers')[n]).transform).a", stage
    )


def test_the_opened_picture_zooms_by_click_wheel_and_keys_and_moves_by_a_drag(opened):
    open_first(opened, verdict="accepted")
    box = opened.locator(".stage").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    opened.mouse.click(x, y)
    assert scale(opened) == 4
    before = opened.locator(".layers").bounding_box()
    assert (x - before["x"]) / before["width"] == pytest.approx(0.25, abs=0.01)
    drag(opened, (x, y), (x + 40, y + 20))
    after = opened.locator(".layers").bounding_box()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((40, 20), abs=1)
    opened.mouse.click(x, y)
    assert scale(opened) == 1
    opened.mouse.wheel(0, -300)
    opened.wait_for_function("document.querySelector('.stage.zoomed')")
    opened.locator("dialog").press("0")
    opened.locator("dialog").press("+")
    assert scale(opened) == pytest.approx(1.6)


@pytest.mark.parametrize("layer", ["regions", "landmarks"])
def test_a_layer_is_switched_off_and_stays_off_for_the_next_image(opened, layer):
    open_first(opened, verdict="accepted")
    assert opened.locator(f".stage .{layer}").is_visible()
    opened.get_by_role("checkbox", name=layer).uncheck()
    assert opened.locator(f".stage .{layer}").is_hidden()
    opened.get_by_role("button", name="Next image").click()
    opened.wait_for_function("document.activeElement.dataset.key === 'next'")
    assert opened.locator(f".stage .{layer}").is_hidden()


def test_a_page_from_disk_offers_no_cover_map(opened):
    open_first(opened, verdict="accepted")
    assert opened.get_by_role("checkbox", name="cover map").is_disabled()


def test_near_duplicates_are_shown_side_by_side_and_zoom_together(opened, workspace):
    repeat = rows_of(workspace).query("dup_of.notna()").iloc[0]
    open_first(opened, verdict="duplicate")
    assert f"verified similarity {repeat['dup_similarity']:.3g}" in opened.locator(".duplicate").first.inner_text()
    opened.get_by_role("button", name="Side by side").first.click()
    opened.wait_for_selector(".pictures.two")
    assert opened.locator("figcaption").all_inner_texts() == [repeat["image_id"], repeat["dup_of"]]
    opened.locator(".stage").first.click()
    assert scale(opened, 0) == scale(opened, 1) == 4
    opened.locator(".duplicate button").first.click()
    opened.wait_for_function("id => document.querySelector('dialog h2').innerText === id", arg=repeat["dup_of"])


def test_an_image_whose_details_cannot_be_loaded_is_no_blank_dialog(browser, workspace):
    shutil.rmtree(workspace / "reports/index.data/rows")
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((workspace / "reports/index.html").as_uri())
    to_images(page)
    page.locator(".cell").first.dblclick()
    page.wait_for_selector("dialog[open]")
    assert "rows/000000.js cannot be loaded: keep the folder index.data" in page.locator("dialog").inner_text()
    page.wait_for_timeout(500)  # the address is written
    page.close()
    assert errors == []


def test_a_search_without_the_file_of_names_says_which_folder_is_missing(browser, workspace):
    (workspace / "reports/index.data/run.js").unlink()
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((workspace / "reports/index.html").as_uri())
    to_images(page)
    page.get_by_label("name contains").fill("0")
    page.locator("#missing", has_text="keep the folder index.data").wait_for()
    assert shown(page) == len(rows_of(workspace))
    page.close()
    assert errors == []


def test_a_long_address_does_not_hide_the_numbers(opened, workspace):
    chunk = workspace / "reports/index.data/rows/000000.js"
    address = "https://example.org/" + 60 * "photo-of-somebody_"
    chunk.write_text(re.sub(r'"url":"[^"]*"', f'"url":"{address}"', chunk.read_text()))
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.locator(".cell").first.dblclick()
    opened.wait_for_selector("dialog[open]")
    assert address in opened.locator("dialog").inner_text()
    assert beyond_the_screen(opened) == []


def test_a_note_typed_before_a_key_is_saved_with_the_choice(opened, workspace):
    opened.locator(".cell").first.dblclick()
    opened.get_by_label("Note").fill("good, really")
    opened.locator("dialog").get_by_role("button", name="Close").focus()
    opened.keyboard.press("k")
    opened.wait_for_selector("dialog b")
    opened.locator("dialog").press("Escape")
    with opened.expect_download() as downloaded:
        opened.get_by_role("button", name="review.csv").click()
    image_id = in_page_order(workspace)["image_id"].iloc[0]
    assert downloaded.value.path().read_text() == f'"image_id","review","note"\n"{image_id}","keep","good, really"\n'


def test_the_downloaded_review_csv_reads_back_control_characters_and_formulas(browser, portraits, tmp_path):
    folder = tmp_path / "=faces"
    folder.mkdir()
    portraits[0].save(folder / "a\r\\b.png")
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto(curate_folder(folder, tmp_path / "out", "unmasked", None).as_uri())
    to_images(page)
    page.locator(".cell").first.dblclick()
    page.get_by_label("Note").fill("=1+1\t2")
    page.locator("dialog").get_by_role("button", name="Drop").click()
    page.wait_for_selector("dialog b")
    page.locator("dialog").press("Escape")
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="review.csv").click()
    text = downloaded.value.path().read_bytes()
    assert b"\r" not in text and b"\"'=faces/" in text and b'"\'=1+1 2"' in text
    assert read_reviews(downloaded.value.path()) == {"=faces/a\r\\b.png": Review("drop", "=1+1 2")}
    page.close()


@pytest.mark.parametrize("index", [0, 5, 17])
def test_each_cell_shows_the_thumbnail_of_its_own_image(opened, workspace, index):
    thumbs = []
    for row in in_page_order(workspace).head(24).itertuples():
        table = (workspace / "data/measured" / row.source / row.archive).with_suffix(".parquet")
        content = pd.read_parquet(table).set_index("path").loc[row.path, "thumb"]
        thumbs.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int))
    opened.wait_for_timeout(500)
    shown = Image.open(io.BytesIO(opened.locator(f"[data-index='{index}'] canvas").screenshot())).convert("RGB")
    pixels = np.asarray(shown.resize((96, 96)))
    assert np.argmin([np.abs(pixels - thumb).mean() for thumb in thumbs]) == index


def test_the_cell_of_an_unreadable_image_says_so(opened):
    pick(opened, verdict="unreadable")
    assert opened.locator(".cell").first.inner_text() == "unreadable"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_the_background(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    colours = opened.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    text, background = (sum(int(part) for part in colour[4:-1].split(",")) for colour in colours)
    assert abs(text - background) > 500
    assert (background > text) == (scheme == "light")


def beyond_the_screen(page):
    """The elements that are visible and reach beyond the right edge, other than within what scrolls sideways."""
    return page.evaluate(
        """[...document.querySelectorAll("body *")].filter((one) => {
            const box = one.getBoundingClientRect();
            return box.width && box.right > innerWidth + 1 && !one.closest(".wide, pre, svg, .stage");
        }).map((one) => one.outerHTML.slice(0, 100))"""
    )


def test_on_a_phone_nothing_is_wider_than_the_screen(opened):
    opened.set_viewport_size({"width": 390, "height": 800})
    to_images(opened)
    assert beyond_the_screen(opened) == []
    opened.get_by_role("button", name="Figures and limits").click()
    for name in ("verdicts", "groups", "limits", "model"):
        unfold(opened, name)
    assert beyond_the_screen(opened) == []
    opened.locator("#panel").press("Escape")
    opened.locator(".cell").first.dblclick()
    opened.wait_for_selector("dialog[open]")
    assert beyond_the_screen(opened) == []


def test_the_pictures_come_first(opened):
    """On a desktop and on a phone images are on the screen at once, and the figures are one click away."""
    for width, height in ((1440, 900), (390, 800)):
        opened.set_viewport_size({"width": width, "height": height})
        opened.evaluate("scrollTo(0, 0)")
        assert opened.locator("#grid").bounding_box()["y"] < height / 2
    assert opened.locator("#panel").is_hidden()
    opened.get_by_role("button", name="Figures and limits").click()
    opened.locator("#verdicts a").first.click()
    assert opened.locator("#panel").is_hidden()
    assert opened.locator("select[name=verdict]").input_value() == "accepted"


def test_the_title_names_the_data_sets_and_the_day(opened):
    assert opened.title() == "facemask: ffhq, maskedface"
    today = datetime.datetime.now(datetime.UTC)
    yesterday = today - datetime.timedelta(days=1)  # the page was made before midnight
    made = opened.locator("header").inner_text().split("made ")[1]
    assert made in {f"{day.day} {day:%B %Y}" for day in (today, yesterday)}


def test_special_characters_in_names_are_shown_and_loaded_unchanged(browser, portraits, tmp_path):
    odd = tmp_path / """it's <b>"odd"<i> & 100%"""
    odd.mkdir()
    portraits[0].save(odd / "a#1?<i>.png")
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto(curate_folder(odd, tmp_path / "out", "unmasked", None).as_uri())
    page.locator("#verdicts table a", has_text="odd").click()
    to_images(page)
    assert shown(page) == 1
    page.locator(".cell").first.dblclick()
    assert page.locator("dialog h2").inner_text() == f"{odd.name}/a#1?<i>.png"
    assert page.locator("dialog img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    page.close()


@pytest.fixture
def map_points(opened, workspace):
    """The map in view, and its points: index of an accepted masked image -> its place on the screen."""
    unfold(opened, "map")
    opened.evaluate("document.getElementById('map').scrollIntoView()")
    opened.wait_for_timeout(100)
    box = opened.locator("#map-lasso").bounding_box()
    rows = in_page_order(workspace)
    points = {}
    for index in np.flatnonzero(rows["accepted"] & (rows["domain"] == "masked")):
        x, y = opened.evaluate("index => facemask.pointOf(index)", int(index))
        points[int(index)] = (box["x"] + x, box["y"] + y)
    return points


def drag(page, *corners):
    """Draw a polygon with the mouse."""
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()


def around(points, margin=6):
    """The corners of a rectangle around points."""
    xs, ys = zip(*points, strict=True)
    left, right, top, bottom = min(xs) - margin, max(xs) + margin, min(ys) - margin, max(ys) + margin
    return (left, top), (right, top), (right, bottom), (left, bottom)


def inside_rectangle(points, corners):
    (left, top), _, (right, bottom), _ = corners
    return {index for index, (x, y) in points.items() if left < x < right and top < y < bottom}


def test_a_click_on_the_map_opens_the_image(opened, workspace, map_points):
    index, (x, y) = next(iter(map_points.items()))
    opened.mouse.click(x, y)
    opened.wait_for_selector("dialog[open]")
    assert opened.locator("dialog h2").inner_text() == in_page_order(workspace)["image_id"].iloc[index]


def test_a_drag_on_the_map_shows_and_drops_the_images_that_it_encircles(opened, workspace, map_points):
    corners = around(list(map_points.values())[:2])
    expected = inside_rectangle(map_points, corners)
    drag(opened, *corners)
    assert opened.locator("#map-count").inner_text() == f"{len(expected)} encircled"
    assert shown(opened) == len(expected) >= 2
    opened.locator("#map-lasso").press("d")
    opened.wait_for_function("count => document.querySelectorAll('.badge.drop').length === count", arg=len(expected))
    dropped = opened.locator(".cell").evaluate_all("cells => cells.map(cell => Number(cell.dataset.index))")
    assert set(dropped) == expected


def test_shift_and_a_drag_encircle_further_images(opened, map_points):
    first, second = (around([point]) for point in list(map_points.values())[:2])
    drag(opened, *first)
    opened.keyboard.down("Shift")
    drag(opened, *second)
    opened.keyboard.up("Shift")
    assert shown(opened) == len(inside_rectangle(map_points, first) | inside_rectangle(map_points, second)) >= 2


def test_escape_on_the_map_shows_all_images_again(opened, workspace, map_points):
    drag(opened, *around(list(map_points.values())[:1]))
    assert shown(opened) < len(rows_of(workspace))
    opened.locator("#map-lasso").press("Escape")
    assert shown(opened) == len(rows_of(workspace))


def test_rejected_images_are_not_on_the_map(opened, workspace):
    rows = in_page_order(workspace)
    is_on_map = opened.evaluate("[...facemask.isOnMap()]")
    assert is_on_map == rows["accepted"].tolist()


def test_the_zoomed_map_keeps_the_place_under_the_pointer(opened, map_points):
    index, place = next(iter(map_points.items()))
    opened.mouse.move(*place)
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -300)
    opened.keyboard.up("Control")
    opened.wait_for_timeout(100)
    box = opened.locator("#map-lasso").bounding_box()
    x, y = opened.evaluate("index => facemask.pointOf(index)", index)
    assert (box["x"] + x, box["y"] + y) == pytest.approx(place, abs=1.5)


def test_images_that_are_not_selected_are_on_the_map_and_moved_limits_do_not_accept_them(browser, workspace):
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["curate"]["select"] = {"masked": 5, "unmasked": None}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with inside(workspace):
        curate_here()
        report_here()
    rows = in_page_order(workspace)
    left = rows["reasons"].map(lambda reasons: list(reasons) == ["not_selected"])
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto((workspace / "reports/index.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert (rows["accepted"] & (rows["domain"] == "masked")).sum() == 5
    assert page.evaluate("[...facemask.isOnMap()]") == (rows["accepted"] | left).tolist()
    slide(page, "max_yaw", 89)
    verdicts = page.evaluate("[...facemask.verdicts()]")
    bit = 1 << REASON_NAMES.index("not_selected")
    assert [verdict == bit for verdict in verdicts] == left.tolist()
    page.close()


def test_without_its_data_folder_the_page_names_the_folder(browser, workspace):
    shutil.rmtree(workspace / "reports/index.data")
    page = browser.new_page()
    page.goto((workspace / "reports/index.html").as_uri())
    assert "keep the folder index.data next to this page" in page.locator("#missing").inner_text()
    page.close()


def test_the_scripts_also_run_as_es_modules(browser, workspace):
    """Inlined, they share one scope, which hides a missing import."""
    folder = workspace / "reports"
    shutil.copytree(ROOT / "pipeline/report/script", folder / "script")
    text = (folder / "index.html").read_text()
    assert text.count(script()) == 1
    start, end = text.index("<script>(() =>"), text.index("</script>", text.index(script()))
    text = f'{text[:start]}<script type="module" src="script/start.js">{text[end:]}'
    (folder / "index.html").write_text(text.replace('<script src="index.data', '<script defer src="index.data'))
    page, errors = browser.new_page(), []
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("http://page.test/**", lambda route: route.fulfill(path=folder / urlsplit(route.request.url).path[1:]))
    page.goto("http://page.test/index.html")
    page.wait_for_selector("html[data-ready]")
    slide(page, "min_cover_chin", 0.95)
    unfold(page, "map")
    page.locator("#map-colour").select_option("skin_tone")
    pick(page, sort="sharpness")
    to_images(page)
    page.locator(".cell").first.dblclick()
    page.locator("dialog").get_by_role("button", name="Keep").click()
    page.wait_for_selector("dialog b")
    page.locator("dialog").press("+")
    page.locator("dialog").press("Escape")
    page.get_by_label("name contains").fill("0")
    page.wait_for_function("location.hash.includes('name=0')")
    page.close()
    assert errors == []
