"""Plots without a network, by the real DVC."""

import re
import subprocess

import pytest

from flows.plots import draw_offline
from tests.flows.conftest import python


@pytest.fixture
def page(tmp_path) -> str:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert python("-m", "dvc", "init", "--quiet", cwd=tmp_path).returncode == 0
    draw_offline(tmp_path)
    (tmp_path / "loss.tsv").write_text("step\tloss\n1\t3\n2\t1\n")
    (tmp_path / "dvc.yaml").write_text("plots: [{loss.tsv: {x: step, y: loss}}]\n")
    shown = python("-m", "dvc", "plots", "show", cwd=tmp_path)
    assert shown.returncode == 0, shown.stdout
    return (tmp_path / "dvc_plots" / "index.html").read_text()


def test_the_page_of_plots_loads_nothing(page):
    assert re.findall(r"<script[^>]*src=|<link[^>]*href=", page) == []


def test_the_page_holds_what_draws_and_what_is_drawn(page):
    assert "window.vegaEmbed=" in page
    assert '"loss": "3"' in page
