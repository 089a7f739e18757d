"""A pool of earlier fakes for the discriminator (Shrivastava et al. 2017; Zhu et al. 2017, section 4)."""

import numpy as np
import torch
from torch import Tensor


class ImagePool:
    """Holds up to `size` fakes. The caller passes the random numbers, so the images are its whole state."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []  # (C, H, W) each

    def exchange(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """New fakes (B, C, H, W) -> as many: each is the new fake or, with probability 1/2, an older one.

        An older fake leaves the pool, and the new one takes its place. Until the pool is full all new fakes return.
        """
        chosen = []
        for fake in fakes.detach():  # (C, H, W)
            if self.size == 0:
                chosen.append(fake)
            elif len(self.images) < self.size:
                self.images.append(fake.clone())
                chosen.append(fake)
            elif rng.random() < 0.5:
                place = int(rng.integers(self.size))
                chosen.append(self.images[place])
                self.images[place] = fake.clone()
            else:
                chosen.append(fake)
        return torch.stack(chosen)

    def state_dict(self) -> dict[str, Tensor]:
        """The images, (N, C, H, W); empty for an empty pool."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Replace the images by those of a saved state."""
        self.images = [image.to(device) for image in state["images"]] if state else []
