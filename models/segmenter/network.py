"""The network: a U-Net (Ronneberger et al. 2015) narrow enough to take under a millisecond of one core."""

from torch import Tensor, nn

WIDTHS = (16, 32, 48, 64)  # channels at 1/2, 1/4, 1/8 and 1/16 of the crop


class Segmenter(nn.Module):
    """(B, 3, 64, 64) in [-1, 1] -> logits (B, planes, 32, 32)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _conv(3, a, stride=2, size=5)
        self.down = nn.ModuleList([_twice(a, b), _twice(b, c), _twice(c, d)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(wide, thin, 2, 2) for wide, thin in ((d, c), (c, b), (b, a))])
        self.mix = nn.ModuleList([_conv(c, c), _conv(b, b), _conv(a, a)])
        self.head = nn.Conv2d(a, planes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem(pixels)
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x)
        for up, mix, skip in zip(self.up, self.mix, reversed(kept), strict=True):
            x = mix(up(x) + skip)
        out: Tensor = self.head(x)
        return out


def _conv(into: int, out: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    # The norm is folded into the convolution on export.
    layer = nn.Conv2d(into, out, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _twice(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(_conv(into, out, stride=2), _conv(out, out))
