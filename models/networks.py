"""Generators and discriminator (Zhu et al. 2017, arXiv 1703.10593, appendix 7.2; Johnson et al. 2016).

In the paper's letters: c7s1-k is a 7x7 convolution of k filters, dk a 3x3 one of stride 2, Rk a residual
block, uk an upsampling by 2, Ck a 4x4 convolution of stride 2. Each is followed by instance norm and ReLU.

Every generator has the same call: (image, guide) -> (painted image, matte), so that training, evaluation and
export know no kinds; on the way back it may get a third argument, a hint of the way there. `paint` gives the paint
before it is laid over the image. The plain one ignores guide and hint and repaints everything: its matte is 1.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.face_regions import lower_face_region, matte_prior
from models.params import Direction, GeneratorKind

# Matte logit that the region alone gives: before anything is learned sigmoid(+-4), 0.98 in its core, 0.02 outside, and
# 0.5 in the band between.
_MATTE_PRIOR = 4.0
_HINTS: dict[Direction, int] = {"mask": 4, "unmask": 1}  # channels of what is told on the way back
_COARSE_PX = 64  # side of the image that the coarse discriminator sees


class ResidualBlock(nn.Module):
    """Rk: two 3x3 convolutions whose result is added to the input; no ReLU after the sum."""

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
        return features + self.layers(features)  # type: ignore[no-any-return]  # (B, C, H, W)


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
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
    """The paper's generator; 6 blocks at 128 px, 9 at 256 px and above."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_encoder(3, width, blocks),
            *_normed(_fractional(4 * width, 2 * width), 2 * width),
            *_normed(_fractional(2 * width, width), width),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )

    def paint(self, image: Tensor, guide: Tensor, hint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W) of ones."""
        return self.layers(image).float(), torch.ones_like(lower_face_region(guide))

    def forward(self, image: Tensor, guide: Tensor, hint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same: the paint is the whole picture."""
        return self.paint(image, guide)


class Doubled(nn.Module):
    """Bilinear upsampling by 2, (B, C, H, W) -> (B, C, 2H, 2W), as sums of shifted copies.

    The same as nn.Upsample, whose backward pass torch.compile turns into scattered additions.
    """

    def forward(self, features: Tensor) -> Tensor:
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

    The landmarks' lower-face region comes in as a fourth channel and tilts the matte towards itself, so that
    painting starts in the right place. A resize and a convolution upsample without a checkerboard.

    What the image cannot tell comes in beside it. Taking off: the drawing of nose, mouth and jaw, which a mask hides;
    and on the way back, that the mask is painted, so that what was hidden in it for that way is not sought in real
    ones. Putting on: on the way back, colour and outline of the mask that was there; else zeros, and the generator
    chooses. So the mask need not be written into the bare face to come back, as Almahairi et al. 2018 (arXiv
    1802.10151) have a latent code for what one domain has and the other has not.
    """

    def __init__(self, direction: Direction, width: int, blocks: int) -> None:
        super().__init__()
        self.direction = direction
        self.hints = _HINTS[direction]
        drawn = 1 if direction == "unmask" else 0
        self.layers = nn.Sequential(
            *_encoder(4 + drawn + self.hints, width, blocks),
            Doubled(),
            *_normed(nn.Conv2d(4 * width, 2 * width, 3, padding=1, padding_mode="reflect"), 2 * width),
            Doubled(),
            *_normed(nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect"), width),
            nn.Conv2d(width, 4, 7, padding=3, padding_mode="reflect"),
        )

    def paint(self, image: Tensor, guide: Tensor, hint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W).

        `hint` (B, 1 or 4, H, W) is that of `models.mask_appearance.hint`, on the way back.
        """
        region = lower_face_region(guide)
        if hint is None:
            hint = torch.zeros_like(region).expand(-1, self.hints, -1, -1)
        shown = guide if self.direction == "unmask" else region
        made = self.layers(torch.cat([image, shown, hint], dim=1)).float()
        return torch.tanh(made[:, :3]), torch.sigmoid(made[:, 3:] + _MATTE_PRIOR * (2 * matte_prior(region) - 1))

    def forward(self, image: Tensor, guide: Tensor, hint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same two, with the paint laid over the image."""
        paint, matte = self.paint(image, guide, hint)
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
        return self.layers(image).float()  # type: ignore[no-any-return]  # (B, 3, H, W) -> (B, 1, H/8 - 2, W/8 - 2)


class CoarseDiscriminator(nn.Module):
    """That without instance norm, which sees images at 64 px, where its 70x70 patch is the whole face.

    As the coarse one of pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.2): it asks for mouths and noses in
    their places, and sees no fine strokes. Each layer has spectral norm (Miyato et al. 2018, arXiv 1802.05957, eq. 8).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.judge = initialised(PatchDiscriminator(width, instance_norm=False))
        for layer in list(self.judge.modules()):
            if isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> scores (B, 1, h, w); below 128 px the image is seen as it is."""
        times = max(1, image.shape[-1] // _COARSE_PX)
        return self.judge(nn.functional.avg_pool2d(image, times))  # type: ignore[no-any-return]


def _fractional(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """uk: a 3x3 fractional-strided convolution of stride 1/2."""
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def make_generator(kind: GeneratorKind, direction: Direction, width: int, blocks: int) -> nn.Module:
    match kind:
        case "guided":
            return initialised(GuidedGenerator(direction, width, blocks))
        case "resnet":
            return initialised(ResnetGenerator(width, blocks))


def make_discriminator(kind: GeneratorKind, domain: Literal["masked", "unmasked"], width: int) -> nn.Module:
    """The judge of that generator's fakes of that domain: the paper's, but a coarse one of guided plain faces."""
    match kind, domain:
        case "guided", "unmasked":
            return CoarseDiscriminator(width)
        case _:
            return initialised(PatchDiscriminator(width, instance_norm=True))


def initialised(network: nn.Module) -> nn.Module:
    """Weights from normal(0, 0.02), biases 0 (appendix 7.1); drawn from torch's global generator."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
