"""The file names of a training state, which models/training/checkpoint.py writes.

A module without torch, so that flows/handoff/state_store.py can refuse other names without loading it.
"""

JSON_NAME = "checkpoint.json"
STATE_NAME = "state.pt"
HISTORY_NAME = "history.json"
GENERATORS = ("generator_mask", "generator_unmask")
DISCRIMINATORS = ("discriminator_masked", "discriminator_unmasked")


def weights_name(network: str) -> str:
    """The file name of one network's weights."""
    return f"{network}.safetensors"


STATE_FILES = frozenset({JSON_NAME, STATE_NAME, HISTORY_NAME, *map(weights_name, GENERATORS + DISCRIMINATORS)})
"""All files of a state; each of them must exist, and there are no others."""
