"""The rooms of each package, lowest layer first: a module imports from its own layer and from those below it."""

from pathlib import Path

# package -> layers; a layer holds rooms (folders of the package) and single modules. Those not named are the top layer.
LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "pipeline": (
        ("command", "errors", "experiments", "messages", "params", "paths", "progress", "proxies", "version"),
        ("storage",),
        ("faces",),
        ("masks",),
        ("unmasking",),
        ("synthetic",),
        ("sources",),
        ("curation",),
        ("report",),
        ("tools",),
        ("stages",),
    ),
    "models": (
        (
            "params",
            "losses",
            "drawings",
            "deterministic",
            "weight_average",
            "face_regions",
            "mask_appearance",
            "networks",
            "face_networks",
            "differentiable_augmentation",
            "image_grids",
            "registry",
            "segmenter",
            "evaluation_report",
            "random_streams",
        ),
        ("methods",),
        ("training",),
        ("evaluation",),
        ("inference",),
        ("export",),
    ),
    "flows": (("processes",), ("local_server",), ("handoff",)),
    "facemask": (),
}


def room_of(file: Path) -> str:
    """The room of a module's file, relative to the root: its folder in the package, or its own name."""
    return file.parts[1].removesuffix(".py")


def layer_of(file: Path) -> int:
    """The layer of a module's file, relative to the root, 0 the lowest; what LAYERS does not name stands above all."""
    layers = LAYERS[file.parts[0]]
    return next((number for number, rooms in enumerate(layers) if room_of(file) in rooms), len(layers))
