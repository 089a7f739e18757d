"""The file names of a training state, which models/training/checkpoint.py writes.

A module without torch, so that flows/handoff/state_store.py can refuse other names without loading it.
"""

from collections.abc import Collection

JSON_NAME = "checkpoint.json"
STATE_NAME = "state.pt"
HISTORY_NAME = "history.json"
GENERATORS = ("generator_mask", "generator_unmask")
DISCRIMINATORS = ("discriminator_masked", "discriminator_unmasked")


def weights_name(network: str) -> str:
    """The file name of one network's weights."""
    return f"{network}.safetensors"


UNMASK_FILES = frozenset(map(weights_name, (GENERATORS[1], DISCRIMINATORS[1])))
"""The weights that a method does not have that only puts masks on."""

STATE_FILES = frozenset({JSON_NAME, STATE_NAME, HISTORY_NAME, *map(weights_name, GENERATORS + DISCRIMINATORS)})
"""All files of a state: each of them must exist, or each but UNMASK_FILES, and there are no others."""


def missing_files(names: Collection[str]) -> list[str]:
    """The files that a state with these names lacks, in order."""
    missing = STATE_FILES - set(names)
    return [] if missing == UNMASK_FILES else sorted(missing)
