"""FID, precision and recall between two sets of images, computed by torch-fidelity.

FID: Heusel et al. 2017 (arXiv 1706.08500), equation 6. Precision and recall: Kynkäänniemi et al. 2019 (arXiv
1904.06991), with the 3 nearest neighbours that they propose. The features are Inception's, which makes the FID
comparable with published ones, where its weights (91 MB, downloaded once) are available; otherwise those of
models/evaluation/kid.py, which compare models of this project only.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.evaluation.features import feature_network, features
from models.evaluation.kid import FEATURES
from models.params import Direction

INCEPTION = "inception-v3-compat"
MIN_IMAGES = 16  # in each set: with fewer images these metrics are meaningless
STUDY_FID: dict[Direction, float] = {"mask": 17.07, "unmask": 48.39}
"""What the original study reported, for 1,000 faces a domain at 256 px, with Inception's features."""

_BATCH = 32
_DOWNLOAD_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Fidelity:
    """How close a set of fakes is to a set of real images."""

    fid: float
    precision: float  # share of fakes within the manifold of the real images, 0-1
    recall: float  # share of real images within the manifold of the fakes, 0-1
    features: str  # the network that computed the features


def fidelity(fakes: NDArray[np.uint8], reals: NDArray[np.uint8]) -> Fidelity | None:
    """FID, precision and recall of RGB images (N, H, W, 3) and (M, H, W, 3).

    None for fewer than MIN_IMAGES, or if the packages of the extra `evaluation` are not installed.
    """
    if min(len(fakes), len(reals)) < MIN_IMAGES or feature_network(FEATURES) is None:
        return None
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    network = inception()
    of_fakes, of_reals = (_features(network, images) for images in (fakes, reals))
    statistics = [fid_features_to_statistics(features.double()) for features in (of_fakes, of_reals)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    prc = prc_features_to_metric(of_fakes, of_reals, prc_neighborhood=3, prc_batch_size=1000, verbose=False)
    return Fidelity(fid, prc["precision"], prc["recall"], FEATURES if network is None else INCEPTION)


@lru_cache(maxsize=1)
def inception() -> nn.Module | None:
    """torch-fidelity's Inception, (N, 3, H, W) uint8 -> ((N, 2048),). None if its weights cannot be downloaded."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
            network: nn.Module = FeatureExtractorInceptionV3(INCEPTION, ["2048"], verbose=False)
    except OSError as error:
        print(f"FID uses {FEATURES}: the weights of Inception cannot be downloaded ({error})", flush=True)
        return None
    return network.eval()


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long new sockets wait, for a library that downloads without a timeout; restored at the end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@torch.inference_mode()
def _features(network: nn.Module | None, images: NDArray[np.uint8]) -> Tensor:
    if network is None:
        return features(images, FEATURES)
    batches = np.array_split(images, -(-len(images) // _BATCH))
    return torch.cat([network(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())[0] for batch in batches])
