"""The light on a mask, estimated from the face that it covers."""

import cv2
import numpy as np

from pipeline.faces.regions import FACE_OVAL
from pipeline.masks.fit import face_width
from pipeline.masks.records import ByteImage, FloatImage, Points


def face_light(image: ByteImage, face: Points) -> FloatImage:
    """Return factors (H, W) about 1: the low frequencies of the face's luminance. `face` (478, 2) is in px."""
    height, width = image.shape[:2]
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    oval = face[list(FACE_OVAL)]
    middle = oval.mean(axis=0)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [np.rint(middle + 0.85 * (oval - middle)).astype(np.int32)], 1)
    weight = inside.astype(np.float32) + 1e-4
    # Blur within the face only (normalized convolution), at a quarter of the size: such a blur needs no more.
    weighted = np.dstack([grey * weight, weight]).astype(np.float32)
    small = cv2.resize(weighted, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    sigma = 0.16 * face_width(face)
    blurred = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / 4), np.float32)
    coarse = cv2.resize(blurred[..., 0] / blurred[..., 1], (width, height), interpolation=cv2.INTER_LINEAR)
    mean = float((grey * weight).sum() / weight.sum())
    # Dark skin does not mean a dark room: only part of the brightness is light.
    overall = np.clip((mean / 150) ** 0.45, 0.62, 1.12)
    return np.asarray(overall * np.clip(coarse / mean, 0.5, 1.5) ** 0.8, np.float32)
