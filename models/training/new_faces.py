"""Faces that a generator makes from latent vectors, as pixels: each without and with its mask."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.face_networks import FaceGenerator, latent_vectors
from models.image_grids import image_grid
from models.training.data import to_pixels

_IN_ROW = 4  # faces of a sheet in a row, each without and with its mask

Images = NDArray[np.uint8]


@torch.inference_mode()
def make_faces(generator: FaceGenerator, seed: int, numbers: range) -> tuple[Images, Images]:
    """The faces of these numbers without and with their masks, (N, S, S, 3) each.

    One at a time: in a batch, a level of a pixel may depend on the other faces.
    """
    device = next(generator.parameters()).device
    made = [generator(latent_vectors(seed, range(number, number + 1)).to(device)) for number in numbers]
    return to_pixels(torch.cat([one.unmasked for one in made])), to_pixels(torch.cat([one.masked for one in made]))


def face_sheet(unmasked: Images, masked: Images) -> Images:
    """Faces (N, S, S, 3), each without and then with its mask, as one picture; white where the last row has none."""
    images = list(np.stack([unmasked, masked], axis=1).reshape(-1, *unmasked.shape[1:]))
    row = min(2 * _IN_ROW, len(images))
    images += [np.full_like(images[0], 255)] * (-len(images) % row)
    return image_grid([images[start : start + row] for start in range(0, len(images), row)])
