"""What cameras and the web do to a picture: light, colour cast, blur, few pixels, noise, JPEG."""

import cv2
import numpy as np
from numpy.typing import NDArray


def degrade(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB -> the same size, mostly a little worse, sometimes much."""
    height, width = image.shape[:2]
    out = image.astype(np.float32)
    if rng.random() < 0.5:
        gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.12, 3) * (1, 0.6, 1))
        out = 255 * (np.clip(out / 255, 0, 1) ** gamma) * gain * np.exp(rng.normal(0, 0.12))
    if rng.random() < 0.3:
        px = rng.uniform(0.25, 0.9)
        small = cv2.resize(out, (round(width * px), round(height * px)), interpolation=cv2.INTER_AREA)
        out = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    if rng.random() < 0.25:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 2.2)), np.float32)
    if rng.random() < 0.35:
        out = out + rng.normal(0, rng.uniform(1, 9), (*out.shape[:2], 1)).astype(np.float32)
    if rng.random() < 0.05:
        out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
    whole = np.asarray(np.clip(np.rint(out), 0, 255), np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 97))]
        _, packed = cv2.imencode(".jpg", whole[..., ::-1], quality)
        whole = np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return whole
