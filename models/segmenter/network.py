"""The network: a U-Net (Ronneberger et al. 2015), small enough to take under a millisecond of one core."""

from torch import Tensor, nn

WIDTHS = (16, 32, 48, 64)  # channels at 1/2, 1/4, 1/8 and 1/16 of the crop's side


class Segmenter(nn.Module):
    """(B, 3, 64, 64) in [-1, 1] -> logits (B, channels, 32, 32)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _convolution(3, a, stride=2, size=5)
        self.down = nn.ModuleList([_downsample(a, b), _downsample(b, c), _downsample(c, d)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(wide, narrow, 2, 2) for wide, narrow in ((d, c), (c, b), (b, a))])
        self.mix = nn.ModuleList([_convolution(c, c), _convolution(b, b), _convolution(a, a)])
        self.head = nn.Conv2d(a, channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem(pixels)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up, mix, skip in zip(self.up, self.mix, reversed(skips), strict=True):
            x = mix(up(x) + skip)
        out: Tensor = self.head(x)
        return out


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    # The export to ONNX folds the batch norm into the convolution.
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _downsample(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, stride=2), _convolution(outputs, outputs))
