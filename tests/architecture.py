"""Makes what docs/architecture.md shows of the code: the picture of the stages, and the map of modules.

`python -m tests.architecture` writes docs/stages.svg from dvc.yaml, and the map from the first line of each module's
docstring. tests/test_docs.py fails where either is out of date.
"""

import ast
from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml

from tests.closure import ROOT

PAGE = ROOT / "docs/architecture.md"
PICTURE = ROOT / "docs/stages.svg"
MAP_START, MAP_END = "<!-- map: python -m tests.architecture -->\n", "<!-- end of map -->"
PACKAGES = {
    "facemask": "for Python code of others",
    "flows": "when and where: Prefect, the command line",
    "pipeline": "what happens to images; imports neither Prefect nor PyTorch",
    "models": "what happens to tensors; imports neither Prefect, MediaPipe nor OpenCV",
    "benchmarks": "ratios, each measured in one run",
}
STAGES = {
    "fetch": "download and pack into shards",
    "measure": "numbers for each image",
    "curate": "numbers into verdicts",
    "pack": "accepted images as arrays",
    "start": "weights to begin with",
    "train": "both generators",
    "evaluate": "figures on test faces",
    "report": "the page to look at",
}
DATA = {
    "data/inbox": "what you put there; network sources too",
    "data/raw": "shards: stored zips of 1,000 images",
    "data/measured": "a table of numbers for each shard",
    "data/review.csv": "your own verdicts",
    "data/manifest.parquet": "a row for every image",
    "reports": "figures, curves, sample images",
    "data/train": "memory-mapped arrays",
    "data/start": "the promoted model's, or none",
    "registry/models.json": "",
    "checkpoints": "weights, state, JSON",
    "reports/index.html": "",
}
CODE = ("pipeline/", "models/", "flows/")

BOX_X, BOX_W, LANE_X, LANE_STEP, WIDTH = 20, 220, 290, 41, 880
TOP, ROW_GAP, WIRE_STEP = 20, 16, 17
STYLE = """
  .bg { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .name { font-weight: 600; font-size: 15px } .data { font-weight: 600 } .small { fill: #59636e; font-size: 12px }
  .pipeline { fill: #ddf4ff; stroke: #0969da } .models { fill: #fff1e5; stroke: #bc4c00 }
  .wire { stroke: #818b98; fill: none; stroke-width: 1.5 } .out { stroke: #1f2328; stroke-width: 2 }
  .dot { fill: #1f2328 } .join { fill: #818b98 } .head { fill: #818b98 }
  @media (prefers-color-scheme: dark) {
    .bg { fill: #0d1117 } text { fill: #f0f6fc } .data { font-weight: 600 } .small { fill: #9198a1 }
    .pipeline { fill: #0c2d4a; stroke: #4493f8 } .models { fill: #3d2410; stroke: #db6d28 }
    .out { stroke: #f0f6fc } .dot { fill: #f0f6fc }
  }
"""


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: the data it reads and writes; `reports/...` counts as one."""

    name: str
    package: str  # pipeline or models
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def stages() -> list[Stage]:
    """The stages of dvc.yaml in its order, without their code and parameters."""
    found = []
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        body = stage.get("do", stage)
        reads = [dep for dep in body["deps"] if not dep.startswith((*CODE, "experiments/"))]
        writes = [
            out if isinstance(out, str) else next(iter(out))
            for kind in ("outs", "metrics", "plots")
            for out in body.get(kind, [])
        ]
        package = body["cmd"].split()[2]
        read = _data(reads)  # one folder may be both: `report` adds to reports/
        found.append(Stage(name, package, read, type(read)(data for data in _data(writes) if data not in read)))
    return found


def picture() -> str:
    """The SVG: a box for each stage, and from what it writes a line down to all stages that read it."""
    rows = stages()
    last = {data: number for number, stage in enumerate(rows) for data in stage.reads}
    lanes: dict[str, tuple[int, float]] = {}  # data -> where its line down begins
    parts = _legend()
    y = float(TOP)
    for number, stage in enumerate(rows):
        wires = len(stage.reads) + len(stage.writes)
        height = max(50, wires * WIRE_STEP + 14)
        parts += _box(stage, y, height)
        at = y + (height - (wires - 1) * WIRE_STEP) / 2
        for data in (*stage.reads, *stage.writes):
            if data not in lanes:
                lanes[data] = LANE_X + LANE_STEP * len(lanes), at
                parts += _label(data, *lanes[data])
            is_read = data in stage.reads
            parts += _read(lanes[data], at, ends=last[data] == number) if is_read else _written(lanes[data][0], at)
            at += WIRE_STEP
        y += height + ROW_GAP
    size = f'viewBox="0 0 {WIDTH} {y:g}" width="{WIDTH}" height="{y:g}"'
    title = "The stages of dvc.yaml, and the data that each reads and writes"
    head = f"<title>{title}</title><style>{STYLE}</style>"
    background = '<rect class="bg" width="100%" height="100%" rx="8"/>'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', head, background, *parts, "</svg>\n"]
    )


def _read(lane: tuple[int, float], y: float, *, ends: bool) -> list[str]:
    """A line from a lane to a stage, with an arrow; where it is the last one, the lane itself."""
    (x, start), right = lane, BOX_X + BOX_W
    arrow = [f'<path class="wire" d="M{x} {y:g}H{right + 8}"/>', f'<path class="head" d="M{right + 1} {y:g}l9 -4v8z"/>']
    if ends:
        return [*arrow, f'<path class="wire" d="M{x} {start:g}V{y:g}"/>']
    return [*arrow, f'<circle class="join" cx="{x}" cy="{y:g}" r="2.5"/>'] if y > start else arrow


def _written(x: int, y: float) -> list[str]:
    return [f'<path class="out" d="M{BOX_X + BOX_W} {y:g}H{x}"/>', f'<circle class="dot" cx="{x}" cy="{y:g}" r="4"/>']


def _legend() -> list[str]:
    parts = []
    for y, package in ((TOP + 4, "pipeline"), (TOP + 28, "models")):
        parts.append(f'<rect class="{package}" x="{WIDTH - 110}" y="{y}" width="18" height="14" rx="3"/>')
        parts.append(_text(WIDTH - 84, y + 12, f"{package}/", "small"))
    return parts


def _box(stage: Stage, y: float, height: float) -> list[str]:
    middle = y + height / 2
    return [
        f'<rect class="{stage.package}" x="{BOX_X}" y="{y:g}" width="{BOX_W}" height="{height:g}" rx="8"/>',
        _text(BOX_X + 14, middle - 4, stage.name, "name"),
        _text(BOX_X + 14, middle + 14, STAGES[stage.name], "small"),
    ]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _label(data: str, x: int, y: float) -> list[str]:
    name, meaning = f'<tspan class="data">{data}</tspan>', f'<tspan class="small" dx="8">{escape(DATA[data])}</tspan>'
    dot = f'<circle class="dot" cx="{x}" cy="{y:g}" r="4"/>'
    return [dot, f'<text x="{x + 10}" y="{y + 4:g}">{name}{meaning}</text>']


def _data(paths: list[str]) -> tuple[str, ...]:
    """Data of the picture: a source's folders as one, all reports but the page as one."""
    names = (path.replace("/${key}", "").replace("index.data", "index.html") for path in paths)
    return tuple(
        dict.fromkeys("reports" if name.startswith("reports/") and "index" not in name else name for name in names)
    )


def module_map() -> str:
    """Markdown: every module of the packages by room, with the first line of its docstring."""
    parts = []
    for package, meaning in PACKAGES.items():
        parts.append(f"\n### {package}: {meaning}")
        room = ""
        for file in sorted((ROOT / package).rglob("*.py"), key=_order):
            summary = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
            if not summary:
                continue
            path = file.relative_to(ROOT).as_posix()
            if room != (room := Path(path).parent.as_posix()):
                parts.append(f"\n**{room}/**\n")
            parts.append(f"- [{file.name}](../{path}): {summary}")
    return "\n".join(parts).strip() + "\n"


def _order(file: Path) -> tuple[str, str]:
    return file.parent.as_posix(), file.name


def page() -> str:
    """docs/architecture.md with the map between its two markers."""
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(MAP_START)
    _, ended, after = rest.partition(MAP_END)
    assert found and ended, f"{PAGE} has lost a marker of the map"
    return f"{before}{MAP_START}\n{module_map()}\n{MAP_END}{after}"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)} are up to date")


if __name__ == "__main__":
    main()
