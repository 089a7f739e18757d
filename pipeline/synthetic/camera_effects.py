"""Effects of cameras and of the web on a picture: exposure, colour cast, blur, low resolution, noise, JPEG."""

import cv2
import numpy as np

from pipeline.masks.compositing import to_bytes
from pipeline.masks.records import ByteImage
from pipeline.synthetic.corruptions import recompressed


def degrade(rng: np.random.Generator, image: ByteImage) -> ByteImage:
    """Degrade a picture (H, W, 3) at random, mostly slightly and sometimes strongly; its size stays."""
    height, width = image.shape[:2]
    out = image.astype(np.float32)
    if rng.random() < 0.5:
        gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.12, 3) * (1, 0.6, 1))
        out = 255 * (np.clip(out / 255, 0, 1) ** gamma) * gain * np.exp(rng.normal(0, 0.12))
    if rng.random() < 0.3:
        scale = rng.uniform(0.25, 0.9)
        small = cv2.resize(out, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        out = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    if rng.random() < 0.25:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 2.2)), np.float32)
    if rng.random() < 0.35:
        out = out + rng.normal(0, rng.uniform(1, 9), (*out.shape[:2], 1)).astype(np.float32)
    if rng.random() < 0.05:
        out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
    degraded = to_bytes(out)
    if rng.random() < 0.6:
        degraded = recompressed(degraded, int(rng.integers(35, 97)))
    return degraded
