"""A flow run is named after what it does: its stages, then the images that are new."""

from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from flows import curate_and_train as flow_module
from flows.curate_and_train import image_ids, run_name
from pipeline.paths import Paths


@pytest.fixture
def run(monkeypatch):
    """The run that is going on, and the names that the server is given."""
    run = SimpleNamespace(id=str(uuid4()), parameters={}, names=[])

    class Client:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update_flow_run(self, run_id, name):
            assert run_id == UUID(run.id)
            run.names.append(name)

    monkeypatch.setattr(flow_module, "flow_run", run)
    monkeypatch.setattr(flow_module, "get_client", lambda **_: Client())
    return run


@pytest.mark.parametrize(("stages", "name"), [(None, "all stages, "), (["curate", "pack"], "curate pack, ")])
def test_a_run_starts_with_the_name_of_its_stages(run, stages, name):
    run.parameters = {"stages": stages}
    assert run_name().startswith(name)


@pytest.mark.parametrize(("new", "name"), [({"a"}, "1 new image, "), (set("abc"), "3 new images, ")])
def test_a_run_is_named_after_its_new_images_once_they_are_known(run, new, name):
    flow_module._name_by_images(new)
    assert [given.startswith(name) for given in run.names] == [True]


def test_a_run_without_new_images_keeps_its_name(run):
    flow_module._name_by_images(set())
    assert run.names == []


def test_before_the_first_curation_there_are_no_images(tmp_path):
    assert image_ids(Paths(tmp_path)) == set()
