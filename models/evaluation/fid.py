"""FID, precision and recall between two sets of pictures, by torch-fidelity.

FID: Heusel et al. 2017 (arXiv 1706.08500), equation 6. Precision and recall: Kynkäänniemi et al. 2019 (arXiv
1904.06991), with the 3 nearest neighbours that they propose. Inception's features where its weights (91 MB, fetched
once) can be had, which makes FID comparable with papers; else those of models/evaluation/kid.py, which compare our models only.
"""

import socket
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.evaluation import kid

INCEPTION = "inception-v3-compat"
FEWEST = 16  # pictures of each set: of fewer these figures say nothing
STUDY_FID = {"mask": 17.07, "unmask": 48.39}
"""What the original study reported, on 1,000 faces a domain at 256 px, with Inception's features."""

_BATCH = 32
_FETCH_TIMEOUT_S = 10.0


def fidelity(fakes: NDArray[np.uint8], reals: NDArray[np.uint8]) -> tuple[dict[str, float], str] | None:
    """fid, precision, recall of RGB pictures (N, H, W, 3) and (M, H, W, 3), and the name of the features they rest on.

    None for fewer than FEWEST, and where the packages of the extra `evaluation` are not installed.
    """
    if min(len(fakes), len(reals)) < FEWEST or kid.feature_network() is None:
        return None
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    network = inception()
    of_fakes, of_reals = (_features(network, pictures) for pictures in (fakes, reals))
    statistics = [fid_features_to_statistics(features.double()) for features in (of_fakes, of_reals)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    near = prc_features_to_metric(of_fakes, of_reals, prc_neighborhood=3, prc_batch_size=1000, verbose=False)
    figures = {"fid": fid, "precision": near["precision"], "recall": near["recall"]}
    return figures, kid.FEATURES if network is None else INCEPTION


@lru_cache(maxsize=1)
def inception() -> nn.Module | None:
    """torch-fidelity's Inception, (N, 3, H, W) uint8 -> ((N, 2048),). None, and a line about it, without network."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_FETCH_TIMEOUT_S)
    try:
        network: nn.Module = FeatureExtractorInceptionV3(INCEPTION, ["2048"], verbose=False)
        return network.eval()
    except OSError as error:
        print(f"FID by {kid.FEATURES}, not Inception, whose weights cannot be fetched here ({error})", flush=True)
        return None
    finally:
        socket.setdefaulttimeout(before)


@torch.inference_mode()
def _features(network: nn.Module | None, pictures: NDArray[np.uint8]) -> Tensor:
    if network is None:
        return kid.features(pictures)
    batches = np.array_split(pictures, -(-len(pictures) // _BATCH))
    return torch.cat([network(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())[0] for batch in batches])
