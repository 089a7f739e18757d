"""What README.md promises is there: its commands, its links, its lines for pandas."""

import re
import shlex
import subprocess

import pandas as pd

from tests.conftest import ROOT, inside

README = (ROOT / "README.md").read_text()
MAX_WORDS = 900


def code_blocks(language):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [block for language_of_block, block in blocks if language_of_block == language]


def test_it_is_short():
    assert len(README.split()) <= MAX_WORDS


def test_every_make_target_named_exists():
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    defined = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets <= defined


def test_every_file_linked_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_it_leads_to_every_page_of_the_docs():
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\((docs/[^)#]+)\)", README))


def test_the_pandas_lines_run(sample_workspace):
    (lines,) = code_blocks("python")
    with inside(sample_workspace):
        names = {}
        exec(lines, names)
    assert isinstance(names["m"], pd.DataFrame)


def test_each_facemask_command_is_accepted():
    from flows.cli import parser

    lines = [line for block in code_blocks("") for line in block.splitlines() if line.startswith("facemask ")]
    commands = [shlex.split(line)[1:] for line in lines]
    assert {"up", "review", "curate", "apply", "fetch"} <= {arguments[0] for arguments in commands}
    for arguments in commands:
        parser().parse_args(arguments)


def test_no_tracked_file_is_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    large = [
        name
        for name in listed.split("\0")
        if name and (ROOT / name).exists() and (ROOT / name).stat().st_size > 2_000_000
    ]
    assert large == []
