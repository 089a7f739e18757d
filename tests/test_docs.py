"""The documents say what is so."""

import re

import pandas as pd
import pytest

from pipeline.storage.manifest import MANIFEST_SCHEMA, REASONS
from tests.conftest import ROOT, inside

MANIFEST = (ROOT / "docs/manifest.md").read_text()


def test_the_manifest_s_page_has_every_column_with_its_meaning():
    told = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", MANIFEST, re.MULTILINE)
    assert told == [(field.name, field.metadata[b"meaning"].decode()) for field in MANIFEST_SCHEMA]


def test_the_manifest_s_page_names_every_reason():
    assert all(f"`{reason}`" in MANIFEST for reason in REASONS)


@pytest.mark.parametrize("lines", re.findall(r"```python\n(.*?)```", MANIFEST, re.DOTALL))
def test_the_lines_for_pandas_run_as_they_stand(lines, sample_workspace):
    first = pd.read_parquet(sample_workspace / "data/manifest.parquet")["image_id"].iloc[-1]
    with inside(sample_workspace):
        exec(lines.replace("maskedface/CMFD/00000/00012_Mask.jpg", first), {})


def words(message):
    """Letters and digits alone: the source may break a message over its lines."""
    return re.sub(r"\W+", "", message)


SOURCE = words(
    "".join(path.read_text() for package in ("flows", "pipeline", "models") for path in (ROOT / package).rglob("*.py"))
)


@pytest.mark.parametrize(
    "message",
    [
        message
        for cell in re.findall(r"^\| (.*?) \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
        for message in re.findall(r"`([^`]+)`", cell)
    ],
)
def test_each_message_of_the_troubleshooting_page_is_one_that_the_source_says(message):
    assert words(message) in SOURCE


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_every_link_between_the_documents_leads_somewhere(page):
    links = re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
