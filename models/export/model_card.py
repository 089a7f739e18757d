"""A model card in the format of Hugging Face: README.md with a YAML header, made from the checkpoint's JSON."""

from pathlib import Path
from typing import Any

import yaml

from models import evaluation_report, registry
from models.evaluation_report import DirectionMetrics, Evaluation
from models.params import Direction
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage.files import replacing, sha256
from pipeline.storage.licences import NON_COMMERCIAL, hugging_face_licence

CARD_NAME = "README.md"
_TAGS = ("facemask", "face-mask", "onnx")
_PURPOSE = {
    "mask": "puts a face mask on a face",
    "unmask": "takes the face mask off a face",
    "faces": "makes faces of people who do not exist, each with and without a face mask",
}
_METHODS = {
    "guided": ("A CycleGAN generator", "cyclegan"),
    "cyclegan": ("A CycleGAN generator", "cyclegan"),
    "simgan": ("A SimGAN refiner", "simgan"),
    "pix2pix": ("A pix2pix generator", "pix2pix"),
    "fastgan": ("A FastGAN generator", "fastgan"),
}
"""train.method -> the kind of network, and the card's tag."""
_DRAWING = """ `drawing`, float32 (B, 5, {side}, {side}) in [0, 1], a mask
drawn on the face: RGB times alpha, alpha, and the shadow beside the mask. The model corrects its light, folds, edges
and shadow, by a bounded amount; it does not paint, and it does not use `guide`."""
_BARE_DRAWING = """ `drawing`, float32 (B, 4, {side}, {side}) in [0, 1], the
picture with a drawn face in place of the mask, RGB, and where the mask was, 0 or 1. The model corrects that face by a
bounded amount."""
_USE = """Inputs: `image`, float32 (B, 3, {side}, {side}), RGB in [-1, 1], a face aligned as in FFHQ; `guide`, float32
(B, 2, {side}, {side}), the conditioning maps, made from MediaPipe's landmarks: 1 in the lower-face region and 0
elsewhere, and a sketch of nose, mouth and jaw in [0, 1].{drawing} Outputs: `painted`, like `image`; `matte`
(B, 1, {side}, {side}), the opacity of the paint, 0-1. `facemask apply` aligns faces, makes the inputs, and pastes the
result back into photos of any size."""
_USE_OF_FACES = """Input: `latent`, float32 (B, 256), random numbers of a standard normal distribution. Outputs:
`unmasked` and `masked`, float32 (B, 3, {side}, {side}), RGB in [-1, 1], one face without and with its mask; `matte`
(B, 1, {side}, {side}), the opacity of the mask, 0-1. `facemask sample` writes them as PNG files."""
_INTENDED = """Intended for research on image translation, and for training detectors of face masks, within the licence of the data.
Its outputs are synthetic: mark them as such (`facemask apply` does).

Not intended for recognising people, nor for making anyone believe that a person wore, or did not wear, a mask. The face
under a mask cannot be known: the model paints a plausible face, not that of the person."""  # noqa: E501
_INTENDED_OF_FACES = """Intended for research on image generation, and for training detectors of face masks, within the
licence of the data. Its outputs are synthetic: mark them as such (`facemask sample` does).

Not intended for recognising people, nor for making anyone believe that a person exists."""
_LIMITS = """Trained on faces that look ahead, up to the head rotation that `curate` in params.yaml allows, and on the masks of the
data above. Results are worse for other poses and masks, for hands or hair in front of the face, and for strong
shadows."""  # noqa: E501
_LIMITS_OF_FACES = """A new face may resemble a training photo, especially if there are few of these. `copies`
counts the faces that curation takes for copies of a training photo; it does not find faces that only look alike."""
_MEANINGS = {
    "images": "test faces, none of which was used in training; or new faces",
    "accepted": "share of the outputs that curation accepts as correctly masked faces",
    "face_found": "share of the new faces in which a face is found",
    "copies": "share of the new faces that show a training photo",
    "still_masked": "share of the outputs that curation still accepts as masked faces",
    "psnr_outside_db": "PSNR of output against photo outside the dilated region, median, dB",
    "psnr_cycle_db": "PSNR of reconstruction against photo, median, dB",
    "kid": "kernel inception distance to real faces, EfficientNet-Lite0 features; smaller is better",
    "fid": "Fréchet inception distance to real faces, features: see fid_features; smaller is better",
    "precision": "share of the outputs within the manifold of real faces",
    "recall": "share of real faces within the manifold of the outputs",
    "identity_distance": "photo to output, by a face recogniser, median; below 0.6: one person",
    "identity_distance_back": "photo to reconstruction, by the same recogniser, median",
    "fid_features": "the network that computed the features for fid, precision and recall",
}


def refuse_other_card(exported: Path) -> None:
    """Raise FacemaskError if a README.md beside `exported` is not its model card."""
    path = exported.with_name(CARD_NAME)
    if path.exists() and _title(exported.name) not in path.read_text(encoding="utf-8", errors="replace"):
        raise FacemaskError(
            f"{path} is not the model card of {exported.name} and would be overwritten: "
            f"export into a separate folder, such as exports/{exported.stem}/{exported.name}"
        )


def write_card(exported: Path, folder: Path, info: CheckpointInfo, direction: Direction) -> None:
    """Write the card of `exported`, made from the checkpoint in `folder`, to README.md beside it."""
    digest = sha256(folder / checkpoint.JSON_NAME)
    metrics = known_metrics(digest, direction, Paths())
    with replacing(exported.with_name(CARD_NAME)) as beside:
        beside.write_text(model_card(exported.name, digest, info, direction, metrics), encoding="utf-8")


def known_metrics(digest: str, direction: Direction, paths: Paths) -> DirectionMetrics:
    """The metrics of a checkpoint, by its digest, from reports/evaluation.json or the registry; else none measured.

    Of one that makes new faces: those of the faces with their masks.
    """
    if paths.evaluation.exists():
        evaluation = evaluation_report.read(paths.evaluation)
        if evaluation.checkpoint == digest[:12]:
            return _of(evaluation, direction)
    models = registry.read(paths.registry).models
    found = (_of(model.metrics, direction) for model in models if model.checkpoint == digest)
    return next(found, DirectionMetrics())


def _of(evaluation: Evaluation, direction: Direction) -> DirectionMetrics:
    return evaluation.new_masked if evaluation.makes_faces else evaluation.of(direction)


def model_card(name: str, digest: str, info: CheckpointInfo, direction: Direction, metrics: DirectionMetrics) -> str:
    """The text of the card for the exported file `name`; `digest` is that of the checkpoint's JSON."""
    side, new = info.params["image_px"], checkpoint.makes_faces(info)
    drawn = {("guided", "mask"): _DRAWING, ("guided", "unmask"): _BARE_DRAWING}
    drawing = drawn.get((info.generator, direction), "").format(side=side)
    use = _USE_OF_FACES.format(side=side) if new else _USE.format(side=side, drawing=drawing)
    flickr = " FFHQ's photos come from Flickr and share its bias in age, skin tone and region."
    return f"""---
{yaml.safe_dump(_header(info), sort_keys=False).strip()}
---

{_title(name)}

It {_PURPOSE["faces" if new else direction]}.

{_made_by(info)}, trained by facemask on
{info.images_seen:,} images a domain at {side} px. Checkpoint {digest[:12]}.

## Use
{use}

{_INTENDED_OF_FACES if new else _INTENDED}

## Data
{info.data_licence}
The same terms hold for the weights. The faces were selected by measured rules; the digest of the packed images is
{info.pack_sha256[:12]}.

## Metrics
{_table(metrics)}

## Limits
{_LIMITS_OF_FACES if new else _LIMITS}{flickr if NON_COMMERCIAL in info.data_licence else ""}
"""


def _header(info: CheckpointInfo) -> dict[str, Any]:
    """The card's header, as Hugging Face reads it."""
    task = "unconditional-image-generation" if checkpoint.makes_faces(info) else "image-to-image"
    _, tag = _METHODS.get(info.params["method"], _METHODS["guided"])
    licence = hugging_face_licence(info.data_licence)
    return {"license": licence, "library_name": "onnx", "pipeline_tag": task, "tags": [tag, task, *_TAGS]}


def _made_by(info: CheckpointInfo) -> str:
    """The kind of network, and its size."""
    name, _ = _METHODS.get(info.params["method"], _METHODS["guided"])
    if checkpoint.makes_faces(info):
        return f"{name} (width {info.params['width']}, weights averaged over the training)"
    kind = "the paper's, without guidance" if info.generator == "resnet" else "guided by the face's landmarks"
    return f"{name} ({kind}; {info.params['blocks']} residual blocks, width {info.params['width']})"


def _title(name: str) -> str:
    return f"# {name}, a generator of facemask"


def _table(metrics: DirectionMetrics) -> str:
    values = metrics.measured()
    rows = [f"| {name} | {_shown(values[name])} | {text} |" for name, text in _MEANINGS.items() if name in values]
    if not rows:
        return "None are known here: `dvc repro evaluate` measures the checkpoint in checkpoints/."
    return "\n".join(["| metric | value | meaning |", "|---|---|---|", *rows])


def _shown(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
