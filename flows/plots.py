"""Make `dvc plots` draw without a network: `python -m flows.plots`, which `make setup` runs.

DVC's own page loads its drawing scripts from a public CDN. DVC takes a template that contains them instead.
"""

from pathlib import Path

from pipeline.command import run
from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

TEMPLATE = Path("tmp/plots.html")  # in .dvc/, which git ignores
_HEAD = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>facemask: plots</title>{refresh_tag}'


def draw_offline(workspace: Path) -> None:
    """Write the template into .dvc/tmp/ and name it in .dvc/config.local, which git ignores too."""
    from dvc.config import Config  # half a second

    try:
        from vl_convert import javascript_bundle
    except ImportError as error:
        raise FacemaskError(
            "vl-convert-python is not installed: run pip install -c constraints.txt -e '.[plots]'"
        ) from error
    with replacing(workspace / ".dvc" / TEMPLATE) as beside:
        # Vega, Vega-Lite and Vega-Embed (BSD-3-Clause), in one script that sets `window.vegaEmbed`.
        bundle = javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
        script = f"<script>(function () {{\n{bundle}\n}})();</script>"
        beside.write_text(f"{_HEAD}{script}</head><body>{{plot_divs}}</body></html>", encoding="utf-8")
    with Config(str(workspace / ".dvc")).edit("local") as settings:
        settings.setdefault("plots", {})["html_template"] = TEMPLATE.as_posix()


if __name__ == "__main__":
    run(lambda: draw_offline(Path.cwd()))
