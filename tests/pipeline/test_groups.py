"""Who is dropped: groups, Wilson's intervals, the table and the warning."""

import numpy as np
import pandas as pd
import pytest

from pipeline.curation.groups import (
    KINDS,
    SKIN_TONE,
    acceptance_by_group,
    disadvantaged,
    group_labels,
    wilson,
    write_groups,
)

GLASSES = next(kind for kind in KINDS if kind.name == "line of glasses")
MASK = next(kind for kind in KINDS if kind.name == "mask lightness")
SIZE = next(kind for kind in KINDS if kind.name == "shorter side")
YAW = next(kind for kind in KINDS if kind.name == "head turned by")


def images(**columns):
    """Rows of a manifest: masked images of one size, each with the given measurements."""
    count = max(len(values) for values in columns.values())
    default = {
        "domain": "masked", "accepted": True, "ffhq_id": pd.array([pd.NA] * count, "Int32"), "claimed": None,
        "width": pd.array([256] * count, "Int32"), "height": pd.array([300] * count, "Int32"), "yaw": 0.0,
        "glasses": 0.0, "skin_tone": 30.0, "mask_lightness": 60.0,
    }  # fmt: skip
    rows = pd.DataFrame(default | columns, index=range(count))
    return rows.astype(dict.fromkeys(("yaw", "glasses", "skin_tone", "mask_lightness"), "float32"))


def skin_tones(accepted_of):
    """Rows with a skin tone and domain of which so many of so many are accepted: {(tone, domain): (20, 100)}."""
    parts = [
        images(skin_tone=[tone] * count, domain=[domain] * count, accepted=np.arange(count) < accepted)
        for (tone, domain), (accepted, count) in accepted_of.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("accepted", "count", "low", "high"),  # R: prop.test(x, n, correct = FALSE)
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_are_wilson_s_of_95_percent(accepted, count, low, high):
    assert wilson(accepted, count) == pytest.approx((low, high), abs=1e-4)


def test_nothing_is_known_of_a_group_without_images():
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_group_includes_its_lower_bound():
    labels = group_labels(images(skin_tone=[9.99, 10.0, 27.9, 28.0, 90.0, -40.0]), SKIN_TONE)
    assert list(labels) == ["below 10°", "10 to 28°", "10 to 28°", "28 to 41°", "55° and above", "below 10°"]


def test_groups_are_in_the_order_of_their_bounds_with_the_missing_last():
    labels = group_labels(images(skin_tone=[None, 60.0, 30.0, 0.0]), SKIN_TONE)
    assert list(labels.sort_values()) == ["below 10°", "28 to 41°", "55° and above", "not measured"]


@pytest.mark.parametrize(
    ("kind", "column", "value", "label"),
    [
        (YAW, "yaw", -31.0, "30 to 45°"),
        (YAW, "yaw", None, "no face"),
        (GLASSES, "glasses", 0.2, "0.1 and above"),
        (MASK, "mask_lightness", 12.0, "below 30 L*"),
        (SIZE, "height", 200, "128 to 256 px"),
    ],
)
def test_an_image_is_grouped_by_its_measurement(kind, column, value, label):
    assert list(group_labels(images(**{column: [value]}), kind)) == [label]


def test_an_unreadable_image_has_a_group_of_its_own_size():
    unread = images(width=pd.array([pd.NA], "Int32"), height=pd.array([pd.NA], "Int32"))
    assert list(group_labels(unread, SIZE)) == ["unreadable"]


def test_unmasked_images_have_no_group_of_masks():
    labels = group_labels(images(domain=["unmasked", "masked"], mask_lightness=[None, None]), MASK)
    assert [None if pd.isna(label) else label for label in labels] == [None, "no mask seen"]


def test_without_a_face_the_skin_tone_is_that_of_the_unmasked_photo_of_the_person():
    rows = images(
        domain=["masked", "unmasked", "masked", "masked"],
        ffhq_id=pd.array([7, 7, 8, pd.NA], "Int32"),
        skin_tone=[None, 50.0, None, None],
    )
    assert list(group_labels(rows, SKIN_TONE)) == ["41 to 55°", "41 to 55°", "not measured", "not measured"]


def test_a_measured_skin_tone_is_not_replaced_by_that_of_another_photo():
    rows = images(domain=["masked", "unmasked"], ffhq_id=pd.array([7, 7], "Int32"), skin_tone=[20.0, 50.0])
    assert list(group_labels(rows, SKIN_TONE)) == ["10 to 28°", "41 to 55°"]


def test_each_kind_counts_every_image_of_its_domain_once(sample_workspace):
    rows = pd.read_parquet(sample_workspace / "data/manifest.parquet")
    table = acceptance_by_group(rows)
    for kind in KINDS:
        counted = table[table["kind"] == kind.name].groupby("domain")[["images", "accepted"]].sum()
        for domain, part in rows.groupby("domain", observed=True):
            if kind.domain in (None, domain):
                assert counted.loc[domain].tolist() == [len(part), part["accepted"].sum()]
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()


def test_a_skin_tone_far_below_the_others_is_reported(tmp_path, capsys):
    rows = skin_tones({(0.0, "masked"): (50, 100), (60.0, "masked"): (190, 200), (0.0, "unmasked"): (95, 100)})
    found = disadvantaged(acceptance_by_group(rows))
    assert found[["domain", "group"]].to_numpy().tolist() == [["masked", "below 10°"]]
    write_groups(rows, tmp_path)
    assert capsys.readouterr().out == (
        "curate: masked faces with a skin tone below 10°: 50.0% of 100 images accepted (40.4% to 59.6%), of the other "
        "skin tones 95.0%: look at 'Who is dropped?' on the page\n"
    )


@pytest.mark.parametrize(
    ("dark", "light"),
    [((18, 20), (200, 200)), ((960, 1000), (1000, 1000)), ((95, 100), (190, 200)), ((100, 100), (100, 200))],
    ids=["too few to tell", "less than three points", "equal", "light skin is below"],
)
def test_a_small_or_uncertain_difference_of_the_dark_skin_tone_is_not_reported(dark, light):
    table = acceptance_by_group(skin_tones({(0.0, "masked"): dark, (60.0, "masked"): light}))
    assert "below 10°" not in set(disadvantaged(table)["group"])


def test_images_without_a_skin_tone_are_no_disadvantaged_group():
    table = acceptance_by_group(skin_tones({(None, "masked"): (0, 100), (60.0, "masked"): (100, 100)}))
    assert disadvantaged(table).empty


def test_the_written_table_names_kind_and_group_together(tmp_path):
    write_groups(skin_tones({(0.0, "masked"): (1, 4)}), tmp_path)
    table = pd.read_csv(tmp_path / "groups.csv").set_index("group")
    assert table.loc["skin tone below 10°"].to_list() == ["masked", 4, 1, 0.25, 0.0456, 0.6994]
