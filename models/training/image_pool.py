"""A pool of earlier fakes for the discriminator (Shrivastava et al. 2017; Zhu et al. 2017, section 4)."""

import numpy as np
import torch
from torch import Tensor


class ImagePool:
    """Holds up to `size` fakes. Its draws are the caller's, so its images are all its state."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []  # each (C, H, W): what the caller shows, image and region

    def exchange(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """For each new fake give either itself or, at even odds, an older one, whose place it takes."""
        given = []
        for fake in fakes.detach():  # (C, H, W)
            if self.size == 0:
                given.append(fake)
            elif len(self.images) < self.size:
                self.images.append(fake.clone())
                given.append(fake)
            elif rng.random() < 0.5:
                place = int(rng.integers(self.size))
                given.append(self.images[place])
                self.images[place] = fake.clone()
            else:
                given.append(fake)
        return torch.stack(given)  # (B, C, H, W)

    def state_dict(self) -> dict[str, Tensor]:
        return {"images": torch.stack(self.images)} if self.images else {}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        self.images = [image.to(device) for image in state["images"]] if state else []
