"""Networks of the method fastgan: a generator of new faces and its discriminator (Liu et al. 2021, arXiv 2101.04775).

The generator makes a face and a mask for it from one latent vector: RGB of the face, RGB of the mask and its matte. So
each face comes with and without its mask, and both pictures are equal where the matte is 0.

The generator has batch norm as in the paper, of the images of one process: with group norm all faces became alike
(docs/experiments.md). The discriminator has spectral norm alone, and sees how much neighbours in the batch differ.
Other than in the paper there are no noise inputs: one latent vector is one picture.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from models.deterministic import AdaptiveAveragePool
from models.networks import blend, initialised

LATENT = 256  # numbers of a latent vector, the paper's
_CHANNELS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
"""Side of a feature map, px -> channels for a width of 1, as in the authors' code."""
_SKIP = 16  # a feature map excites the one of this many times its side (section 3.1)
_WEIGHTS = 0.05  # deviation of the generator's weights before training; batch norm makes their size irrelevant
_MATTE_LOGIT = -1.0  # before training: a matte of 0.27 everywhere
_SIDES = 16, 8  # px: of the discriminator's feature maps that are decoded (section 3.2)


class MadeFaces(NamedTuple):
    """New faces, with and without a mask."""

    unmasked: Tensor  # (B, 3, S, S) in [-1, 1]
    masked: Tensor  # (B, 3, S, S) in [-1, 1]
    matte: Tensor  # (B, 1, S, S) in [0, 1]: the opacity of the mask


def latent_vectors(seed: int, numbers: range) -> Tensor:
    """Latent vectors (B, LATENT): each a function of seed and number only."""
    rows = [np.random.default_rng([seed, number]).standard_normal(LATENT, np.float32) for number in numbers]
    return torch.from_numpy(np.stack(rows))


class _Upsampled(nn.Sequential):
    """Nearest upsampling by 2, then one or two 3x3 convolutions with batch norm and a gated linear unit."""

    def __init__(self, channels: int, out_channels: int, convolutions: int) -> None:
        layers: list[nn.Module] = [nn.Upsample(scale_factor=2, mode="nearest")]
        for _ in range(convolutions):
            layers += [
                nn.Conv2d(channels, 2 * out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(2 * out_channels),
                nn.GLU(dim=1),
            ]
            channels = out_channels
        super().__init__(*layers)


class _Excitation(nn.Sequential):
    """Skip-layer excitation, eq. 2: a small feature map -> a factor in 0-1 for each channel of a large one."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(
            AdaptiveAveragePool(4),
            nn.Conv2d(channels, out_channels, 4),
            nn.SiLU(),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.Sigmoid(),
        )


class FaceGenerator(nn.Module):
    """Latent vectors -> faces of `image_px`, a power of two from 32 on, with and without a mask."""

    def __init__(self, width: int, image_px: int) -> None:
        super().__init__()
        sides = [side for side in _CHANNELS if side <= image_px]
        channels = {side: max(4, round(_CHANNELS[side] * width)) for side in sides}
        self.start = nn.Sequential(
            nn.ConvTranspose2d(LATENT, 2 * channels[4], 4, bias=False), nn.BatchNorm2d(2 * channels[4]), nn.GLU(dim=1)
        )
        # As in the authors' code, every second block has two convolutions, the first one included.
        self.blocks = nn.ModuleList(
            _Upsampled(channels[side // 2], channels[side], 2 - place % 2) for place, side in enumerate(sides[1:])
        )
        self.excitations = nn.ModuleDict(
            {
                str(side): _Excitation(channels[side // _SKIP], channels[side])
                for side in sides
                if side // _SKIP in channels
            }
        )
        self.colours = nn.Conv2d(channels[image_px], 3 + 3 + 1, 3, padding=1)
        for layer in (*self.start.modules(), *self.blocks.modules()):
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, 0.0, _WEIGHTS)
        initialised(self.colours)
        with torch.no_grad():
            assert self.colours.bias is not None
            self.colours.bias[-1] = _MATTE_LOGIT

    def forward(self, latents: Tensor) -> MadeFaces:
        """latents (B, LATENT), of a standard normal distribution -> MadeFaces."""
        features = self.start(latents[:, :, None, None])
        by_side = {features.shape[-1]: features}
        for block in self.blocks:
            features = block(features)
            side = features.shape[-1]
            if str(side) in self.excitations:
                features = features * self.excitations[str(side)](by_side[side // _SKIP])
            by_side[side] = features
        made = self.colours(features).float()
        unmasked, matte = torch.tanh(made[:, :3]), torch.sigmoid(made[:, 6:])
        return MadeFaces(unmasked, blend(torch.tanh(made[:, 3:6]), unmasked, matte), matte)


class _Downsampled(nn.Module):
    """Half the side, by two convolutions and, beside them, by averaging; the sum of both.

    With the authors' mean the scores shrink by half in each block, for lack of their batch norm.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _conv(channels, out_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            _conv(out_channels, out_channels, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.direct = nn.Sequential(nn.AvgPool2d(2), _conv(channels, out_channels, 1), nn.LeakyReLU(0.2))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H/2, W/2)."""
        return self.main(features) + self.direct(features)  # type: ignore[no-any-return]


class _Decoder(nn.Sequential):
    """A small decoder: a feature map of 8 px -> RGB of `side` px in [-1, 1] (section 3.2)."""

    def __init__(self, channels: int, width: int, side: int) -> None:
        layers: list[nn.Module] = [AdaptiveAveragePool(8)]
        for _ in range((side // 8).bit_length() - 1):
            layers.append(_Upsampled(channels, width, 1))
            channels = width
        super().__init__(*layers, nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh())


class FaceDiscriminator(nn.Module):
    """Scores 5x5 patches of an image as one of a class, and reconstructs real images from its own features.

    The reconstruction makes it describe the whole image instead of the few training images that it has seen
    (section 3.2). Spectral norm in each scored layer.
    """

    def __init__(self, width: int, image_px: int) -> None:
        super().__init__()
        first = nn.Sequential(_conv(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        downs: list[nn.Module] = [first]
        side, channels = image_px // 2, width
        while side > _SIDES[0]:
            downs.append(_Downsampled(channels, min(8 * width, 2 * channels)))
            side, channels = side // 2, min(8 * width, 2 * channels)
        self.to_16 = nn.Sequential(*downs)
        self.to_8 = _Downsampled(channels, 2 * channels)
        self.scores = nn.Sequential(
            _conv(2 * channels + 1, 4 * channels, 1), nn.LeakyReLU(0.2), _conv(4 * channels, 2, 4, bias=False)
        )
        self.reconstructed_px = min(128, image_px // 2)
        self.whole = initialised(_Decoder(2 * channels, width, self.reconstructed_px))
        self.part = initialised(_Decoder(channels, width, self.reconstructed_px))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """images (B, 3, S, S), classes (B,) of 0 unmasked, 1 masked -> scores (B, 5, 5): higher, more real."""
        return self._scores(self.to_8(self.to_16(images)), classes)

    def with_reconstruction(self, images: Tensor, classes: Tensor, quarters: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of `forward`, and the mean distance of two reconstructions from what they should show, a scalar.

        One is of the whole image from the features of 8 px, the other of one of its quarters from those of 16 px:
        quarters (B,) of 0-3. images (B, 3, S, S), real ones.
        """
        at_16 = self.to_16(images)
        at_8 = self.to_8(at_16)
        size = (self.reconstructed_px, self.reconstructed_px)
        whole = functional.interpolate(images, size, mode="area")
        part = functional.interpolate(_quarter(images, quarters), size, mode="area")
        distance = functional.l1_loss(self.whole(at_8).float(), whole)
        distance = distance + functional.l1_loss(self.part(_quarter(at_16, quarters)).float(), part)
        return self._scores(at_8, classes), distance / 2

    def _scores(self, features: Tensor, classes: Tensor) -> Tensor:
        scores: Tensor = self.scores(torch.cat([features, _difference_of_pairs(features)], dim=1)).float()
        return scores.gather(1, classes[:, None, None, None].expand(-1, 1, *scores.shape[2:]))[:, 0]


def _difference_of_pairs(features: Tensor) -> Tensor:
    """How much neighbours in the batch differ: (B, C, H, W) -> (B, 1, H, W), the same for both of a pair.

    The minibatch standard deviation of Karras et al. 2018 (arXiv 1710.10196, section 3), for groups of two, so that it
    does not depend on the number of processes that share a batch. The last of an odd number has 0.
    """
    count, _, height, width = features.shape
    pairs = features[: count // 2 * 2].unflatten(0, (-1, 2))  # type: ignore[no-untyped-call]
    differences = (pairs[:, 0] - pairs[:, 1]).abs().mean(dim=(1, 2, 3)).repeat_interleave(2)
    differences = functional.pad(differences, (0, count % 2))
    return differences[:, None, None, None].expand(-1, 1, height, width)


def _quarter(images: Tensor, quarters: Tensor) -> Tensor:
    """One quarter of each image: (B, C, 2H, 2W), (B,) of 0-3 -> (B, C, H, W)."""
    count, channels, height, width = images.shape
    parts = images.reshape(count, channels, 2, height // 2, 2, width // 2).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    return parts[torch.arange(count, device=images.device), quarters]


def _conv(channels: int, out_channels: int, side: int, **settings: int | bool) -> nn.Module:
    """A convolution with spectral norm (Miyato et al. 2018, arXiv 1802.05957)."""
    return spectral_norm(nn.Conv2d(channels, out_channels, side, **settings))  # type: ignore[arg-type]
