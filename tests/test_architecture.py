"""docs/architecture.md agrees with the code: picture, map, rooms, and the functions that it names."""

import ast
import re

import pytest

from tests.architecture import MAP_START, PAGE, PICTURE, STAGES, page, picture
from tests.closure import ROOT, file_of
from tests.rooms import LAYERS

TEXT = PAGE.read_text(encoding="utf-8")
WRITTEN = TEXT.partition(MAP_START)[0]
RUN = "run 'python -m tests.architecture'"


def test_the_map_names_every_module_with_its_docstring():
    assert page() == TEXT, RUN


def test_the_picture_shows_the_stages_of_dvc_yaml():
    assert PICTURE.read_text(encoding="utf-8") == picture(), RUN
    assert [name for name in STAGES if f">{name}<" not in picture()] == []


def test_the_table_has_every_room_in_its_layer():
    rows = re.findall(r"^\| (\d+) \| (`.*?) \|", TEXT, re.MULTILINE)
    table = [(int(layer), room) for layer, rooms in rows for room in re.findall(r"`(\w+/\w+)`", rooms)]
    assert table == [
        (number, f"{package}/{room}")
        for package, layers in LAYERS.items()
        for number, rooms in enumerate(layers)
        for room in rooms
    ]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:flows|pipeline|models)(?:\.\w+){2,})`", WRITTEN))))
def test_each_function_named_exists(name):
    module, _, function = name.rpartition(".")
    file = file_of(module)
    assert file is not None, f"there is no module {module}"
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
