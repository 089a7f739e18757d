import os

import pytest

from pipeline import workers as module
from pipeline.workers import Workers


def add(items):
    """Work that dies at a negative number."""
    if min(items) < 0:
        os._exit(9)
    return sum(items)


def lost(item):
    return f"lost {item}"


def run(*pieces):
    with Workers(add, lost, 2) as workers:
        return dict(workers.run(list(pieces)))


def test_every_piece_gets_its_result():
    assert run([1, 2], [3], [4, 5]) == {0: [3], 1: [3], 2: [9]}


def test_an_item_that_kills_its_process_takes_nothing_else_along():
    assert run([1], [2, 3, -4, 5], [6], [7], [8]) == {0: [1], 1: [5, "lost -4", 5], 2: [6], 3: [7], 4: [8]}


def test_several_killers_are_each_found():
    assert run([-1], [2], [-3, -4]) == {0: ["lost -1"], 1: [2], 2: ["lost -3", "lost -4"]}


def whose(items):
    return os.getpid()


def test_processes_are_replaced_before_leaks_add_up(monkeypatch):
    monkeypatch.setattr(module, "PIECES_PER_POOL", 2)
    with Workers(whose, lost, 1) as workers:
        pids = [parts[0] for _, parts in sorted(workers.run([[n] for n in range(5)]))]
        pids += [parts[0] for _, parts in workers.run([[5]])]
    assert len(pids) == 6 and len(set(pids)) == 3


def refuse(items):
    raise ValueError(items)


def test_an_error_is_no_death():
    with Workers(refuse, lost, 1) as workers, pytest.raises(ValueError, match="1"):
        list(workers.run([[1]]))
