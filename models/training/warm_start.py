"""Stage `start`: the weights that training starts from: those of the promoted model, or none.

    data/start/start.json   {"model": NAME, "checkpoint": sha256 of its checkpoint.json}, or null for both
    data/start/...          that model's checkpoint.json and weights

A stage of its own, which depends on the packed images and on `retrain.warm_start`, and not on the registry: which model
is the promoted one is asked once, when there is something new to train on. From then on it is a file like any other, so
that `dvc repro` runs nothing after a promotion, and data/start goes with data/train to whatever machine trains.
"""

from pathlib import Path

from models import registry
from models.params import START_NAME, RetrainParams
from pipeline.storage.files import link_or_copy, replacing_folder, sha256, write_json


def start(params: RetrainParams, models: Path, target: Path) -> None:
    """Put into `target` what training is to start from. Raises FacemaskError if the promoted weights are not here."""
    promoted = registry.read(models).promoted if params.warm_start else None
    checkpoint = None
    with replacing_folder(target) as made:
        if promoted:
            weights = registry.weights(promoted, models)
            for file in sorted(weights.iterdir()):
                link_or_copy(file, made / file.name)
            checkpoint = sha256(weights / "checkpoint.json")
        write_json(made / START_NAME, {"model": promoted, "checkpoint": checkpoint})
    print(f"training starts from {f'model {promoted}, the promoted one' if promoted else 'fresh weights'}", flush=True)
