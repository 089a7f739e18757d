"""The documents agree with the code."""

import re

import pandas as pd
import pytest

from pipeline.curation.reasons import REASON_NAMES
from pipeline.storage.manifest import MANIFEST_SCHEMA
from tests.conftest import ROOT, inside

MANIFEST = (ROOT / "docs/manifest.md").read_text()


def test_the_manifest_page_lists_each_column_with_its_meaning():
    columns = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", MANIFEST, re.MULTILINE)
    assert columns == [(field.name, field.metadata[b"meaning"].decode()) for field in MANIFEST_SCHEMA]


def test_the_manifest_page_lists_the_reasons_in_their_order():
    paragraph = MANIFEST.split("Reasons, in the order in which a row lists them: ")[1].split("\n\n")[0]
    assert tuple(re.findall(r"`(\w+)`", paragraph.split(". ")[0])) == REASON_NAMES


@pytest.mark.parametrize("lines", re.findall(r"```python\n(.*?)```", MANIFEST, re.DOTALL))
def test_the_python_examples_of_the_manifest_page_run(lines, sample_workspace):
    first = pd.read_parquet(sample_workspace / "data/manifest.parquet")["image_id"].iloc[-1]
    with inside(sample_workspace):
        exec(lines.replace("maskedface/CMFD/00000/00012_Mask.jpg", first), {})


def words(message):
    """Letters and digits of `message`: in the source it may be broken over lines."""
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
def test_each_message_of_the_troubleshooting_page_occurs_in_the_source(message):
    assert words(message) in SOURCE


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_each_link_between_documents_leads_to_a_file(page):
    links = re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
