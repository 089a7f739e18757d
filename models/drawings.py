"""Drawn masks and drawn bare faces as tensors, and bounded corrections of masks.

A drawn bare face (B, 4, H, W) in [0, 1] is RGB of the whole picture, and where its mask was
(pipeline.unmasking.bare_face). A drawn mask (B, 5, H, W) in [0, 1] is RGB times alpha, alpha, and the shadow beside it
(pipeline.masks.worn.flatten). A correction (B, 11, H, W) changes its colours, edges and shadow a little, and cannot
paint: with zeros it is the drawing itself, and every value is bounded. Its coarse channels come from an 8 x 8 grid (the
affine colour grid of Gharbi et al. 2017, arXiv 1707.02880), so that it applies at any size of picture.
"""

import torch
from torch import Tensor
from torch.nn import functional

GRID = 8
"""Cells of a coarse channel across and down."""

COARSE_BOUNDS = (0.25, 0.06, 0.1, 0.015, 0.015, 0.8, 0.35, 0.6)
"""Bounds of the coarse channels: gain and offset of the luma, gain of the chroma, offsets of both chroma differences,
gain of the shadow, softness (1: blurred, below 0: sharpened), and gain of the relief, which is the luma of folds."""

FINE_BOUNDS = (0.06, 0.005, 0.005)
"""Bounds of the fine channels: a residual of the luma and of both chroma differences."""

CORRECTION_CHANNELS = len(COARSE_BOUNDS) + len(FINE_BOUNDS)
_SOFT, _BROAD = 64, 16  # shares of the side, over which edges are softened, and folds are found
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def put_on(image: Tensor, drawing: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] with drawn masks."""
    colour, alpha, shadow = torch.split(drawing, [3, 1, 1], dim=1)
    return (image + 1) * (1 - shadow) * (1 - alpha) + 2 * colour - 1


def put_on_corrected(image: Tensor, drawing: Tensor, correction: Tensor, side: float | None = None) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] with drawn masks, corrected by (B, 11, H, W); nothing else changes.

    `side` is that of FFHQ's frame, px, of which blurs are shares; None: the images are the frame.
    """
    side = image.shape[-1] if side is None else side
    channels = torch.split(correction, 1, dim=1)
    gain, offset, chroma_gain, blue_offset, red_offset, shadow_gain, softness, relief = channels[: len(COARSE_BOUNDS)]
    residual = channels[len(COARSE_BOUNDS) :]
    layer, shadow = drawing[:, :4], drawing[:, 4:]
    layer = layer + softness * (_blurred(layer, side / _SOFT) - layer)
    alpha = layer[:, 3:].clamp(0, 1)
    # Where the alpha is clamped, so is the colour that it is multiplied with: else sharpened edges had rims.
    kept = (alpha / layer[:, 3:].clamp(min=1e-6)).detach()
    luma, blue, red = _to_luma_chroma(layer[:, :3] * kept)
    smooth = _blurred(torch.cat([luma, alpha], dim=1), side / _BROAD)
    folds = luma - smooth[:, :1] / smooth[:, 1:].clamp(min=0.1) * alpha
    luma = luma + relief * folds
    colour = _to_rgb(
        luma * (1 + gain) + alpha * (offset + residual[0]),
        blue * (1 + chroma_gain) + alpha * (blue_offset + residual[1]),
        red * (1 + chroma_gain) + alpha * (red_offset + residual[2]),
    )
    corrected = torch.cat([colour, alpha, (shadow * (1 + shadow_gain)).clamp(0, 1)], dim=1)
    # A blurred edge stays within the drawing, where the matte says so.
    return torch.where(changed_share(drawing) > 0, put_on(image, corrected).clamp(-1, 1), image)


def changed_share(drawing: Tensor) -> Tensor:
    """How much of each pixel a drawing changes, (B, 1, H, W): its alpha, and its shadow beside it."""
    alpha, shadow = drawing[:, 3:4], drawing[:, 4:]
    return alpha + (1 - alpha) * shadow


def _blurred(layer: Tensor, width: float) -> Tensor:
    """The layer, blurred over about `width` px."""
    reach = max(1, int(width / 2))
    for _ in range(2):
        layer = functional.avg_pool2d(layer, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    return layer


def _to_luma_chroma(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3, H, W) -> luma, blue minus luma, red minus luma, each (B, 1, H, W)."""
    red, green, blue = torch.split(rgb, 1, dim=1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return luma, blue - luma, red - luma


def _to_rgb(luma: Tensor, blue_difference: Tensor, red_difference: Tensor) -> Tensor:
    red, blue = luma + red_difference, luma + blue_difference
    return torch.cat([red, (luma - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1], blue], dim=1)
