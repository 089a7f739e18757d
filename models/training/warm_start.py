"""Stage `start`: the weights that training starts from: of the promoted model, or none.

    data/start/start.json   {"model": NAME, "checkpoint": sha256 of its checkpoint.json}, or null for both
    data/start/...          that model's checkpoint.json and weights

The stage depends on the packed images and on `retrain.warm_start`, but not on the registry. So it picks the promoted
model only when there is something new to train on, and `dvc repro` runs nothing after a promotion. As files, the
weights go to the training machine together with data/train.
"""

from models import registry
from models.params import START_NAME, RetrainParams
from pipeline.paths import CHECKPOINT_JSON, Paths
from pipeline.storage.files import link_or_copy, replacing_folder, sha256, write_json


def start(params: RetrainParams, paths: Paths) -> None:
    """Write data/start. Raises FacemaskError if the promoted model's weights are not in the workspace."""
    if promoted := registry.read(paths.registry).promoted if params.warm_start else None:
        name, weights, shown = promoted, registry.weights(promoted, paths.registry), f"the promoted model, {promoted}"
    else:
        name, weights, shown = None, None, "new weights"
    checkpoint = None
    with replacing_folder(paths.start) as made:
        if weights:
            for file in [*sorted(weights.glob("*.safetensors")), weights / CHECKPOINT_JSON]:
                link_or_copy(file, made / file.name)
            checkpoint = sha256(weights / CHECKPOINT_JSON)
        write_json(made / START_NAME, {"model": name, "checkpoint": checkpoint})
    print(f"training starts from {shown}", flush=True)
