"""`facemask models`: what was trained here, how good it is, and which one is promoted; and promoting another one.

Not models.py: where Prefect loads a flow by its file, flows/ itself is on the path, and that name is the package's.
"""

from dataclasses import replace

from flows.promotion import COMPARED, bring_weights
from models import registry
from models.registry import REGISTRY, Model, Registry


def list_models() -> None:
    """Print a row for each model, the newest last, then why the last ones were promoted or not."""
    known = registry.read()
    if not known.models:
        print("facemask: no model yet: a run of curate-and-train registers the first one")
        return
    for row in rows(known):
        print(row)
    print(f"\npromoted: {known.promoted}, its weights in {REGISTRY}/{known.promoted}/")
    print(f"newest: {known.models[-1].name}: {known.models[-1].verdict}")
    if len({model.basis for model in known.models}) > 1:
        print("Figures of different test sets or gates cannot be held against each other.")


def promote(name: str) -> None:
    """Make `name` the promoted model: also an older one, which is a rollback. Its weights are brought here by DVC."""
    known = registry.read()
    known.find(name)
    bring_weights(name)
    registry.write(replace(known, promoted=name))
    before = f" in place of {known.promoted}" if known.promoted not in (None, name) else ""
    print(f"facemask: {name} is the promoted model{before}: {REGISTRY}/{name}/; to keep it so: git add {REGISTRY}")


def rows(known: Registry) -> list[str]:
    """The table's lines: every column as wide as its widest cell."""
    figures = [
        (direction, name)
        for direction, name, _ in COMPARED
        if any(name in model.figures.get(direction, {}) for model in known.models)
    ]
    head = ["", "model", "registered", "data", "start", "images", *(".".join(pair) for pair in figures), "test set"]
    cells = [head, *(_cells(model, figures, model.name == known.promoted) for model in known.models)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _cells(model: Model, figures: list[tuple[str, str]], promoted: bool) -> list[str]:
    return [
        "*" if promoted else "",
        model.name,
        model.registered[:16].replace("T", " "),
        model.data[:12],
        model.started_from or "fresh",
        f"{model.images_seen:,}",
        *(str(model.figures.get(direction, {}).get(name, "-")) for direction, name in figures),
        str(model.figures.get("test_set", "-")),
    ]
