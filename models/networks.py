"""Generators and discriminators (Zhu et al. 2017, arXiv 1703.10593, appendix 7.2; Johnson et al. 2016).

In the paper's letters: c7s1-k is a 7x7 convolution with k filters, dk a 3x3 one with stride 2, Rk a residual block, uk
an upsampling by 2, Ck a 4x4 convolution with stride 2. Each is followed by instance norm and ReLU.

All generators have the same call, (image, guide, condition) -> (output, matte), so that training, evaluation and export
treat them alike. `condition` is only for the second generator of a cycle. `paint` returns the paint before it is
blended into the image. The paper's generator ignores guide and condition and repaints everything: its matte is 1.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.face_regions import lower_face_region, matte_prior
from models.params import Direction, GeneratorKind

# Matte logit from the region alone: before training, sigmoid(+-4) is 0.98 in the eroded region and 0.02 outside the
# dilated one; in the band between it is 0.5.
_MATTE_PRIOR_LOGIT = 4.0
_CONDITION_CHANNELS: dict[Direction, int] = {"mask": 4, "unmask": 1}
_COARSE_PX = 64  # side of the images that the coarse discriminator sees


class ResidualBlock(nn.Module):
    """Rk: input plus two 3x3 convolutions of it; no ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return features + self.layers(features)  # type: ignore[no-any-return]


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    """A convolution with `channels` outputs, followed by instance norm and ReLU."""
    return [convolution, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def _encoder(in_channels: int, width: int, blocks: int) -> list[nn.Module]:
    """c7s1-64, d128, d256, R256 x blocks (for width 64): (B, in, H, W) -> (B, 4 width, H/4, W/4)."""
    return [
        *_normed(nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect"), width),
        *_normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), 2 * width),
        *_normed(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), 4 * width),
        *(ResidualBlock(4 * width) for _ in range(blocks)),
    ]


class ResnetGenerator(nn.Module):
    """The paper's generator: 6 blocks at 128 px, 9 at 256 px and above."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_encoder(3, width, blocks),
            *_normed(_fractional(4 * width, 2 * width), 2 * width),
            *_normed(_fractional(2 * width, width), width),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )

    def paint(self, image: Tensor, guide: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W) of ones."""
        return self.layers(image).float(), torch.ones_like(lower_face_region(guide))

    def forward(self, image: Tensor, guide: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `paint`: the paint is the whole output."""
        return self.paint(image, guide)


class UpsampleBy2(nn.Module):
    """Bilinear upsampling by 2, as sums of shifted copies.

    It replaces nn.Upsample, whose backward pass torch.compile turns into slow scattered additions.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        for dim in (2, 3):
            size = features.shape[dim]
            first, last = features.narrow(dim, 0, 1), features.narrow(dim, size - 1, 1)
            before = torch.cat([first, features.narrow(dim, 0, size - 1)], dim)
            after = torch.cat([features.narrow(dim, 1, size - 1), last], dim)
            pair = torch.stack([0.75 * features + 0.25 * before, 0.75 * features + 0.25 * after], dim + 1)
            features = pair.flatten(dim, dim + 1)
        return features


class GuidedGenerator(nn.Module):
    """Paints through a matte: output = matte * RGB + (1 - matte) * input.

    The lower-face region is an input channel and raises the matte's logits, so that painting starts in the right place.
    Resizing followed by a convolution upsamples without a checkerboard pattern.

    Further inputs give what the image cannot show. unmask: the landmark sketch of nose, mouth and jaw, which a mask
    hides. In the second half of a cycle, `condition` (models.mask_appearance.cycle_condition) gives mask the appearance
    code of the original mask, and unmask the area of the painted one; otherwise it is 0, and the generator chooses. So
    nothing about the mask needs to be hidden in the unmasked face, as in Almahairi et al. 2018 (arXiv 1802.10151),
    where a latent code holds what one domain has and the other lacks.
    """

    def __init__(self, direction: Direction, width: int, blocks: int) -> None:
        super().__init__()
        self.direction = direction
        self.condition_channels = _CONDITION_CHANNELS[direction]
        guide_channels = 2 if direction == "unmask" else 1
        self.layers = nn.Sequential(
            *_encoder(3 + guide_channels + self.condition_channels, width, blocks),
            UpsampleBy2(),
            *_normed(nn.Conv2d(4 * width, 2 * width, 3, padding=1, padding_mode="reflect"), 2 * width),
            UpsampleBy2(),
            *_normed(nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect"), width),
            nn.Conv2d(width, 4, 7, padding=3, padding_mode="reflect"),
        )

    def paint(self, image: Tensor, guide: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W) in [0, 1].

        `condition`, in the second half of a cycle, is (B, 4, H, W) for mask and (B, 1, H, W) for unmask.
        """
        region = lower_face_region(guide)
        if condition is None:
            condition = torch.zeros_like(region).expand(-1, self.condition_channels, -1, -1)
        maps = guide if self.direction == "unmask" else region
        made = self.layers(torch.cat([image, maps, condition], dim=1)).float()
        matte_logits = made[:, 3:] + _MATTE_PRIOR_LOGIT * (2 * matte_prior(region) - 1)
        return torch.tanh(made[:, :3]), torch.sigmoid(matte_logits)

    def forward(self, image: Tensor, guide: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `paint`, with the paint blended into the image."""
        paint, matte = self.paint(image, guide, condition)
        return blend(paint, image, matte), matte


def blend(paint: Tensor, image: Tensor, matte: Tensor) -> Tensor:
    """`paint` where the matte is 1, exactly `image` where it is 0."""
    return matte * paint + (1 - matte) * image


class PatchDiscriminator(nn.Module):
    """70x70 PatchGAN: C64-C128-C256-C512 (for width 64), then one score for each 70x70 patch.

    Leaky ReLUs of slope 0.2; stride 1 in the last two; instance norm in all but the first and last, or in none.
    """

    def __init__(self, width: int, *, instance_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for narrow, wide, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers.append(nn.Conv2d(narrow * width, wide * width, 4, stride=stride, padding=1))
            if instance_norm:
                layers.append(nn.InstanceNorm2d(wide * width))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Conv2d(8 * width, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> scores (B, 1, H/8 - 2, W/8 - 2)."""
        return self.layers(image).float()  # type: ignore[no-any-return]


class CoarseDiscriminator(nn.Module):
    """A PatchGAN without instance norm on images scaled to 64 px, where its 70x70 patch is the whole face.

    As the coarse one of pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.2): it checks that mouth and nose are
    in place, and sees no fine strokes. Each layer has spectral norm (Miyato et al. 2018, arXiv 1802.05957, eq. 8).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = initialised(PatchDiscriminator(width, instance_norm=False))
        for layer in list(self.patches.modules()):
            if isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> scores (B, 1, h, w); images below 128 px are not scaled."""
        factor = max(1, image.shape[-1] // _COARSE_PX)
        return self.patches(nn.functional.avg_pool2d(image, factor))  # type: ignore[no-any-return]


def _fractional(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """uk: a 3x3 fractional-strided convolution with stride 1/2."""
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def make_generator(kind: GeneratorKind, direction: Direction, width: int, blocks: int) -> nn.Module:
    """A generator with new weights: `guided`, or `resnet`, the paper's."""
    match kind:
        case "guided":
            return initialised(GuidedGenerator(direction, width, blocks))
        case "resnet":
            return initialised(ResnetGenerator(width, blocks))


def make_discriminator(kind: Literal["patch", "coarse"], width: int) -> nn.Module:
    """A discriminator with new weights: `patch`, the paper's, or `coarse`."""
    match kind:
        case "patch":
            return initialised(PatchDiscriminator(width, instance_norm=True))
        case "coarse":
            return CoarseDiscriminator(width)


def initialised(network: nn.Module) -> nn.Module:
    """The network, with weights from normal(0, 0.02) and biases 0 (appendix 7.1); uses torch's global generator."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
