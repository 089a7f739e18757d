"""The file names of a training state, which models/training/checkpoint.py writes.

A module without torch, so that flows/handoff/state_store.py can refuse other names without loading it.
"""

from collections.abc import Collection

JSON_NAME = "checkpoint.json"
STATE_NAME = "state.pt"
HISTORY_NAME = "history.json"
GENERATORS = ("generator_mask", "generator_unmask")
DISCRIMINATORS = ("discriminator_masked", "discriminator_unmasked")
FACE_GENERATOR, AVERAGE_FACES, FACE_DISCRIMINATOR = FACES = ("generator_faces", "average_faces", "discriminator_faces")
"""The networks of a method that makes new faces, instead of those above: the average is what it makes them with."""


def weights_name(network: str) -> str:
    """The file name of one network's weights."""
    return f"{network}.safetensors"


UNMASK_FILES = frozenset(map(weights_name, (GENERATORS[1], DISCRIMINATORS[1])))
"""The weights that a method does not have that only puts masks on."""

STATE_FILES = frozenset({JSON_NAME, STATE_NAME, HISTORY_NAME, *map(weights_name, GENERATORS + DISCRIMINATORS)})
"""The files of a state of a method that translates photos."""

FACE_STATE_FILES = frozenset({JSON_NAME, STATE_NAME, HISTORY_NAME, *map(weights_name, FACES)})
"""The files of a state of a method that makes new faces."""

STATES = (STATE_FILES, STATE_FILES - UNMASK_FILES, FACE_STATE_FILES)
"""The files of each kind of state: all files of one kind must exist, and there are no others."""


def is_whole_state(names: Collection[str]) -> bool:
    """Whether these are the files of a state, all of them and no others."""
    return frozenset(names) in STATES
