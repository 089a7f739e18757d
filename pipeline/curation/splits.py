"""Train, val and test: no person, and no photo, is in two of them."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.curation.rules import SplitParams

_ORDER = ("test", "val", "train")  # which one a group is in whose members would be in several


def split_of(key: str, person: Any, split: SplitParams) -> str:
    """train, val or test: by FFHQ's own division where `split` names it, else by a digest of `key`.

    `person` is the FFHQ id or missing.
    """
    if split.test_from_ffhq_id is not None and not pd.isna(person) and person >= split.test_from_ffhq_id:
        return "test"
    fraction = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "val" if fraction < split.val else "test" if fraction < split.val + split.test else "train"


def assign_splits(rows: pd.DataFrame, same_photo: NDArray[np.int64], split: SplitParams) -> list[str]:
    """The split of each of the `rows`, which have image_id and ffhq_id.

    Rows of one FFHQ id, and pairs (M, 2) of row positions in `same_photo`, and rows that these connect, are a group and
    get one split. For a row that is in no group it depends on its own id only.
    """
    own = [
        split_of(image_id if pd.isna(person) else f"{person}", person, split)
        for image_id, person in zip(rows["image_id"], rows["ffhq_id"], strict=True)
    ]
    positions = pd.Series(np.arange(len(rows)))
    first_of_person = positions.groupby(rows["ffhq_id"].to_numpy(np.float64, na_value=np.nan)).transform("first")
    of_one_person = np.column_stack([first_of_person, positions])[first_of_person.notna()].astype(np.int64)
    first, second = np.concatenate([same_photo, of_one_person]).T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(rows), len(rows)))
    _, groups = connected_components(graph, directed=False)
    rank = pd.Series([_ORDER.index(name) for name in own]).groupby(groups).transform("min")
    return [_ORDER[place] for place in rank]
