"""Make `dvc plots` draw without a network: `python -m flows.plots`, which `make setup` runs.

DVC's own page loads its drawing scripts from a public CDN. A template that holds them takes its place in this clone.
"""

import subprocess
import sys
from pathlib import Path

from flows.processes.dvc_runner import program_env
from pipeline.errors import FacemaskError, run
from pipeline.storage.files import replacing

TEMPLATE = Path("tmp/plots.html")  # in .dvc/, where git does not look

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>facemask: plots</title>
{refresh_tag}
<style>body { font-family: sans-serif; margin: 1em } table { border-spacing: 1em }</style>
<script>(function () {
SCRIPTS
})();</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def draw_offline(workspace: Path) -> None:
    """Write the template into .dvc/tmp/ and name it in .dvc/config.local, which this clone alone has."""
    try:
        from vl_convert import javascript_bundle
    except ImportError as error:
        raise FacemaskError(
            "vl-convert-python is not installed: run pip install -c constraints.txt -e '.[plots]'"
        ) from error
    with replacing(workspace / ".dvc" / TEMPLATE) as beside:
        # Vega, Vega-Lite and Vega-Embed (BSD-3-Clause), in one script that leaves `vegaEmbed` behind.
        beside.write_text(_PAGE.replace("SCRIPTS", javascript_bundle()), encoding="utf-8")
    command = [sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", TEMPLATE.as_posix()]
    done = subprocess.run(
        command, cwd=workspace, env=program_env(), capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        raise FacemaskError(f"DVC's settings in {workspace} cannot be written: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    run(lambda: draw_offline(Path.cwd()))
