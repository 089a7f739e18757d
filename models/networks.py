"""Generators and discriminators (Zhu et al. 2017, arXiv 1703.10593, appendix 7.2; Johnson et al. 2016).

In the paper's letters: c7s1-k is a 7x7 convolution with k filters, dk a 3x3 one with stride 2, Rk a residual block, uk
an upsampling by 2, Ck a 4x4 convolution with stride 2. Each is followed by instance norm and ReLU.

All generators have the same call, (image, guide, drawing) -> (output, matte), so that training, evaluation and export
treat them alike. The guide is the conditioning maps, and the drawing a drawn mask or bare face (models.drawings), which
only a generator that corrects it needs. The paper's generator ignores both and repaints everything: its matte is 1.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.deterministic import AdaptiveAveragePool, ReflectConv2d, upsampled
from models.drawings import COARSE_BOUNDS, FINE_BOUNDS, GRID, changed_share, put_on, put_on_corrected
from models.face_regions import dilated_region, lower_face_region, matte_prior
from models.params import Direction, GeneratorKind

_Module = TypeVar("_Module", bound=nn.Module)

# Matte logit from the region alone: before training, sigmoid(+-2.5) is 0.92 in the eroded region and 0.08 outside the
# dilated one; in the band between it is 0.5.
_MATTE_PRIOR_LOGIT = 2.5
_DILATIONS = (1, 2, 4)  # of the painter's blocks, in turns
_CORRECTION_BOUND = 0.6  # of colours in [-1, 1]
_VISIBLE = 0.03  # a correction that replaces the pixel wholly
_COARSE_PX = 64  # side of the images that the coarse discriminator sees


class ResidualBlock(nn.Module):
    """Rk: input plus two 3x3 convolutions of it, dilated or not; no ReLU after the sum."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ReflectConv2d(channels, channels, 3, dilation),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            ReflectConv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return features + self.layers(features)  # type: ignore[no-any-return]


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    """A convolution with `channels` outputs, followed by instance norm and ReLU."""
    return [convolution, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def _encoder(in_channels: int, width: int, blocks: int, dilations: tuple[int, ...] = (1,)) -> list[nn.Module]:
    """c7s1-64, d128, d256, R256 x blocks (for width 64): (B, in, H, W) -> (B, 4 width, H/4, W/4)."""
    return [
        *_normed(ReflectConv2d(in_channels, width, 7), width),
        *_normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), 2 * width),
        *_normed(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), 4 * width),
        *(ResidualBlock(4 * width, dilations[block % len(dilations)]) for block in range(blocks)),
    ]


class ResnetGenerator(nn.Module):
    """The paper's generator: 6 blocks at 128 px, 9 at 256 px and above."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_encoder(3, width, blocks),
            *_normed(_fractional(4 * width, 2 * width), 2 * width),
            *_normed(_fractional(2 * width, width), width),
            ReflectConv2d(width, 3, 7),
            nn.Tanh(),
        )

    def paint(self, image: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W) of ones."""
        return self.layers(image).float(), torch.ones_like(lower_face_region(guide))

    def forward(self, image: Tensor, guide: Tensor, drawing: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `paint`: the paint is the whole output."""
        return self.paint(image, guide)


def _painting_layers(in_channels: int, width: int, blocks: int, out_channels: int) -> nn.Sequential:
    """An encoder with dilated blocks, so that the mouth is painted with the eyes in view, and a decoder.

    Resizing followed by a convolution upsamples without a checkerboard pattern.
    """
    return nn.Sequential(
        *_encoder(in_channels, width, blocks, dilations=_DILATIONS),
        UpsampleBy2(),
        *_normed(ReflectConv2d(4 * width, 2 * width, 3), 2 * width),
        UpsampleBy2(),
        *_normed(ReflectConv2d(2 * width, width, 3), width),
        ReflectConv2d(width, out_channels, 7),
    )


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


class DrawingCorrector(nn.Module):
    """G of the methods guided and simgan: a correction of a drawn mask (models.drawings), 0 before training.

    It cannot paint: each value is bounded, most are of a coarse grid, and nothing changes where the drawing is not. No
    instance norm, which would remove the colours' absolute values.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        channels = (3 + 3 + 5, width, 2 * width, 4 * width)  # image, image with drawing, drawing
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(narrow, wide, 4 if stride == 2 else 5, stride, 2 - stride // 2), nn.LeakyReLU(0.2))
            for narrow, wide, stride in zip(channels, channels[1:], (1, 2, 2), strict=False)
        )
        self.middle = nn.Sequential(*(_PlainBlock(4 * width) for _ in range(blocks)))
        self.coarse = nn.Sequential(
            AdaptiveAveragePool(GRID),
            nn.Conv2d(4 * width, 4 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, len(COARSE_BOUNDS), 1),
        )
        self.fine = nn.Sequential(
            UpsampleBy2(),
            nn.Conv2d(4 * width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            UpsampleBy2(),
            nn.Conv2d(width, len(FINE_BOUNDS), 3, padding=1),
        )
        for head in (self.coarse[-1], self.fine[-1]):
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def correction(self, image: Tensor, drawing: Tensor) -> Tensor:
        """image (B, 3, H, W) in [-1, 1], drawing (B, 5, H, W) in [0, 1] -> correction (B, 11, H, W)."""
        features = torch.cat([image, put_on(image, drawing), drawing], dim=1)
        for layer in self.down:
            features = layer(features)
        features = self.middle(features)
        coarse = upsampled(self.coarse(features).float(), (image.shape[2], image.shape[3]))
        bounds = torch.tensor(COARSE_BOUNDS + FINE_BOUNDS, device=image.device)[:, None, None]
        return torch.tanh(torch.cat([coarse, self.fine(features).float()], dim=1)) * bounds

    def forward(self, image: Tensor, guide: Tensor, drawing: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W), drawing (B, 5, H, W) -> the face with the corrected drawing, and what it changes."""
        return put_on_corrected(image, drawing, self.correction(image, drawing)), changed_share(drawing)


class _PlainBlock(nn.Module):
    """A residual block without norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return features + self.layers(features)  # type: ignore[no-any-return]


class FaceCorrector(nn.Module):
    """F of the method guided: a correction of a drawn bare face (models.drawings), 0 before training.

    It sees the masked photo too, so that it also takes away what was not found of the mask: edges, loops, shadows. The
    correction is bounded, and 0 far from the mask and the lower face.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = _painting_layers(3 + 4 + 2, width, blocks, out_channels=3)

    def without_correction(self) -> "FaceCorrector":
        """This network, with weights that change nothing."""
        head = self.layers[-1]
        nn.init.zeros_(head.weight)  # type: ignore[arg-type]
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        return self

    def correction(self, image: Tensor, guide: Tensor, drawing: Tensor) -> Tensor:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W), drawing (B, 4, H, W) -> what is added, (B, 3, H, W)."""
        features = torch.cat([image, 2 * drawing[:, :3] - 1, drawing[:, 3:], guide], dim=1)
        reach = torch.maximum(dilated_region(lower_face_region(guide)), dilated_region(drawing[:, 3:]))
        soft = nn.functional.avg_pool2d(reach, 5, stride=1, padding=2, count_include_pad=False) * reach
        return _CORRECTION_BOUND * torch.tanh(self.layers(features).float()) * soft

    def forward(self, image: Tensor, guide: Tensor, drawing: Tensor) -> tuple[Tensor, Tensor]:
        """image, guide, drawing -> the corrected bare face (B, 3, H, W), and how much of the photo it replaces."""
        correction = self.correction(image, guide, drawing)
        return (2 * drawing[:, :3] - 1 + correction).clamp(-1, 1), replaced_share(correction, drawing)


def replaced_share(correction: Tensor, drawing: Tensor) -> Tensor:
    """How much of each pixel a corrected bare face replaces, (B, 1, H, W): the mask, and what is corrected."""
    corrected = (correction.abs().amax(dim=1, keepdim=True) / _VISIBLE).clamp(max=1)
    return torch.maximum(drawing[:, 3:], corrected)


class FacePainter(nn.Module):
    """Paints the lower face through a matte: matte * RGB + (1 - matte) * input. Both generators of the method pix2pix.

    Inputs beside the image are the lower-face region, which raises the matte's logits there, and the landmark sketch of
    nose, mouth and jaw, which a mask hides.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = _painting_layers(3 + 2, width, blocks, out_channels=4)

    def paint(self, image: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1], guide (B, 2, H, W) -> paint (B, 3, H, W), matte (B, 1, H, W) in [0, 1]."""
        made = self.layers(torch.cat([image, guide], dim=1)).float()
        matte_logits = made[:, 3:] + _MATTE_PRIOR_LOGIT * (2 * matte_prior(lower_face_region(guide)) - 1)
        return torch.tanh(made[:, :3]), torch.sigmoid(matte_logits)

    def forward(self, image: Tensor, guide: Tensor, drawing: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `paint`, with the paint blended into the image."""
        paint, matte = self.paint(image, guide)
        return blend(paint, image, matte), matte


def blend(paint: Tensor, image: Tensor, matte: Tensor) -> Tensor:
    """`paint` where the matte is 1, exactly `image` where it is 0."""
    return matte * paint + (1 - matte) * image


class PatchDiscriminator(nn.Module):
    """70x70 PatchGAN: C64-C128-C256-C512 (for width 64 and depth 3), then one score for each 70x70 patch.

    Leaky ReLUs of slope 0.2; stride 1 in the last two; instance norm in all but the first and last, or in none. With
    depth 2 the patches have 34x34 px, with depth 1 16x16 (Isola et al. 2017, arXiv 1611.07004, appendix 6.1.2).
    """

    def __init__(self, width: int, *, instance_norm: bool, in_channels: int = 3, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for level in range(depth):
            narrow, wide, stride = 2**level, 2 ** (level + 1), 2 if level < depth - 1 else 1
            layers.append(nn.Conv2d(narrow * width, wide * width, 4, stride=stride, padding=1))
            if instance_norm:
                layers.append(nn.InstanceNorm2d(wide * width))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Conv2d(2**depth * width, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, C, H, W) -> scores (B, 1, H/8 - 2, W/8 - 2), of more and smaller patches with less depth."""
        return self.layers(image).float()  # type: ignore[no-any-return]

    def features(self, image: Tensor) -> list[Tensor]:
        """image (B, C, H, W) -> the output of each leaky ReLU, and last the scores."""
        found = []
        for layer in self.layers:
            image = layer(image)
            if isinstance(layer, nn.LeakyReLU):
                found.append(image)
        return [*found, image.float()]


class CoarseDiscriminator(nn.Module):
    """A PatchGAN without instance norm on images scaled to 64 px, where its 70x70 patch is the whole face.

    As the coarse one of pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.2): it checks that mouth and nose are
    in place, and sees no fine strokes. Each layer has spectral norm (Miyato et al. 2018, arXiv 1802.05957, eq. 8).
    """

    def __init__(self, width: int, in_channels: int = 3) -> None:
        super().__init__()
        self.patches = initialised(PatchDiscriminator(width, instance_norm=False, in_channels=in_channels))
        for layer in list(self.patches.modules()):
            if isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> scores (B, 1, h, w); images below 128 px are not scaled."""
        factor = max(1, image.shape[-1] // _COARSE_PX)
        return self.patches(nn.functional.avg_pool2d(image, factor))  # type: ignore[no-any-return]


class TwoScaleDiscriminator(nn.Module):
    """Sees texture from near, as a PatchGAN, and colour and shape from afar, at 64 px."""

    def __init__(self, width: int, in_channels: int) -> None:
        super().__init__()
        self.fine = initialised(PatchDiscriminator(width, instance_norm=True, in_channels=in_channels))
        self.coarse = CoarseDiscriminator(width, in_channels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, C, H, W) -> scores of the fine patches and of the coarse ones, each (B, 1, h, w)."""
        return self.fine(image), self.coarse(image)

    def features(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """image (B, C, H, W) -> the features and scores of the fine patches, and the scores of the coarse ones."""
        return self.fine.features(image), self.coarse(image)


def _fractional(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """uk: a 3x3 fractional-strided convolution with stride 1/2."""
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def make_generator(kind: GeneratorKind, direction: Direction, width: int, blocks: int) -> nn.Module:
    """A generator with new weights: `guided`, `painter` in both directions, or `resnet`, the paper's."""
    match kind, direction:
        case "resnet", _:
            return initialised(ResnetGenerator(width, blocks))
        case "guided", "mask":
            return DrawingCorrector(max(8, width // 4), max(1, blocks // 3))
        case "guided", "unmask":
            return initialised(FaceCorrector(width, blocks)).without_correction()
        case _:
            return initialised(FacePainter(width, blocks))


def initialised(network: _Module) -> _Module:
    """The network, with weights from normal(0, 0.02) and biases 0 (appendix 7.1); uses torch's global generator."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
