"""`facemask models`: the trained models with their metrics, and the promotion of one of them.

Not models.py: where Prefect loads a flow by its file, flows/ itself is on the path, and that name is the package's.
"""

from dataclasses import replace

from flows.promotion import COMPARED, bring_weights
from models import registry
from models.params import Direction
from models.registry import REGISTRY, Model, Registry


def list_models() -> None:
    """Print a row for each model, the newest last, then why the newest was promoted or not."""
    known = registry.read()
    if not known.models:
        print("facemask: no model yet: a run of curate-and-train registers the first one")
        return
    for row in rows(known):
        print(row)
    where = f"{known.promoted}, its weights in {REGISTRY}/{known.promoted}/" if known.promoted else "none"
    print(f"\npromoted: {where}")
    print(f"newest: {known.models[-1].name}: {known.models[-1].verdict}")
    if len({model.evaluation_id for model in known.models}) > 1:
        print("Metrics of different test sets, limits or code cannot be compared.")


def promote(name: str) -> None:
    """Make `name` the promoted model; an older one is a rollback. Its weights are checked out of DVC's cache."""
    known = registry.read()
    known.find(name)
    bring_weights(name)
    registry.write(replace(known, promoted=name))
    before = f" in place of {known.promoted}" if known.promoted not in (None, name) else ""
    print(f"facemask: {name} is the promoted model{before}: {REGISTRY}/{name}/; to keep it so: git add {REGISTRY}")


def rows(known: Registry) -> list[str]:
    """The table's lines: every column as wide as its widest cell."""
    metrics = [
        (direction, name)
        for direction, name, _ in COMPARED
        if any(getattr(model.metrics.of(direction), name) is not None for model in known.models)
    ]
    head = ["", "model", "registered", "data", "start", "images", *(".".join(pair) for pair in metrics), "test set"]
    cells = [head, *(["*" if model.name == known.promoted else "", *_cells(model, metrics)] for model in known.models)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _cells(model: Model, metrics: list[tuple[Direction, str]]) -> list[str]:
    values = [getattr(model.metrics.of(direction), name) for direction, name in metrics]
    return [
        model.name,
        model.registered[:16].replace("T", " "),
        model.data[:12],
        model.started_from or "fresh",
        f"{model.images_seen:,}",
        *("-" if value is None else str(value) for value in values),
        model.metrics.test_set or "-",
    ]
