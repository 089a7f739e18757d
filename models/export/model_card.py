"""A model card in the form that Hugging Face reads: README.md with a YAML head, made from the checkpoint's JSON."""

import json
from pathlib import Path
from typing import Any

import yaml

from models import registry
from models.params import Direction
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo
from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing, sha256

CARD_NAME = "README.md"
_TAGS = ["facemask", "cyclegan", "image-to-image", "face-mask", "onnx"]
_EVALUATION = Path("reports/evaluation.json")
_DOES = {"mask": "puts a face mask on a face", "unmask": "takes the face mask off a face"}
_MEANINGS = {
    "images": "test faces, none of them trained on",
    "accepted": "share of the painted faces that curation takes for correctly masked ones",
    "still_masked": "share of the painted faces that curation still takes for masked ones",
    "psnr_outside_db": "likeness to the photo outside the region, median, dB",
    "psnr_cycle_db": "likeness to the photo after there and back, median, dB",
    "kid": "kernel inception distance to real faces, EfficientNet-Lite0 features; smaller is better",
    "fid": "Fréchet distance to real faces; smaller is better; features: see fid_features",
    "precision": "share of painted faces that lie among the real ones",
    "recall": "share of real faces that lie among the painted ones",
    "identity_distance": "between photo and painted face by a face recogniser, median; below 0.6: one person",
    "identity_distance_back": "between photo and what came back of it, median; below 0.6: one person",
}


def refuse_other_card(exported: Path) -> None:
    """Raises FacemaskError where a README.md beside `exported` is not its card: another's, or a project's own."""
    path = exported.with_name(CARD_NAME)
    if path.exists() and _title(exported.name) not in path.read_text(encoding="utf-8", errors="replace"):
        raise FacemaskError(
            f"{path} is not the model card of {exported.name} and would be written over: "
            f"export into a folder of its own, as exports/{exported.stem}/{exported.name}"
        )


def write_card(exported: Path, folder: Path, info: CheckpointInfo, direction: Direction) -> None:
    """Write the card of `exported`, which was made from the checkpoint in `folder`, beside it."""
    digest = sha256(folder / checkpoint.JSON_NAME)
    with replacing(exported.with_name(CARD_NAME)) as beside:
        beside.write_text(model_card(exported.name, digest, info, direction, known_figures(digest)), encoding="utf-8")


def known_figures(digest: str) -> dict[str, Any]:
    """What this project's evaluation and registry say of a checkpoint, by its digest; nothing if they know it not."""
    if _EVALUATION.exists():
        evaluation: dict[str, Any] = json.loads(_EVALUATION.read_text(encoding="utf-8"))
        if evaluation.get("checkpoint") == digest[:12]:
            return evaluation
    return next((model.figures for model in registry.read().models if model.checkpoint == digest), {})


def model_card(name: str, digest: str, info: CheckpointInfo, direction: Direction, figures: dict[str, Any]) -> str:
    """The card's text."""
    side, train = info.params["image_px"], info.params
    head = {
        "license": "cc-by-nc-sa-4.0",
        "library_name": "onnx",
        "pipeline_tag": "image-to-image",
        "tags": _TAGS,
    }
    kind = "guided by the face's landmarks" if train["generator"] == "guided" else "plain"
    return f"""---
{yaml.safe_dump(head, sort_keys=False).strip()}
---

{_title(name)}

It {_DOES[direction]}.

A CycleGAN generator ({kind}; {train["blocks"]} residual blocks, width {train["width"]}), trained by facemask on
{info.images_seen:,} images a domain at {side} px. Checkpoint {digest[:12]}.

## Use
Inputs: `image`, float32 (B, 3, {side}, {side}), RGB in [-1, 1], a face framed as FFHQ frames it; `guide`, float32
(B, 2, {side}, {side}), 1 on the lower face and 0 elsewhere, and a drawing of nose, mouth and jaw in [0, 1], both from
MediaPipe's landmarks. Outputs: `painted`, as `image`; `matte` (B, 1, {side}, {side}), how much of each pixel was
painted, 0-1. `facemask apply` does the framing, draws the guide, and puts the result back into
photos of any size.

Meant for research on image translation, and for teaching detectors what a worn mask looks like, as far as the data's
licence allows. What it makes is synthetic: mark it so (`facemask apply` does).

Not meant for recognising anybody, nor for making people believe that somebody wore, or did not wear, a mask. What lies
under a mask cannot be known: taken off, a plausible face is painted and not the person's own.

## Data
{info.data_licence}
So the weights are given on under the same terms. Faces were chosen from MaskedFace-Net and FFHQ by measured rules; the
packed images have digest {info.pack_sha256[:12]}.

## Figures
{_table(figures.get(direction))}

## Limits
Trained on faces that look ahead, up to the pose that `curate` in params.yaml allows, and on surgical masks as
MaskedFace-Net draws them. Other poses, other masks, hands or hair before the face, and strong shadows come out worse.
FFHQ's photos come from Flickr and share its bias in age, skin tone and region.
"""


def _title(name: str) -> str:
    return f"# {name}, a generator of facemask"


def _table(figures: dict[str, Any] | None) -> str:
    if not figures:
        return "None are known here: `dvc repro evaluate` measures the checkpoint that lies in checkpoints/."
    rows = [
        f"| {name} | {figures[name]:{'d' if name == 'images' else '.4g'}} | {meaning} |"
        for name, meaning in _MEANINGS.items()
        if name in figures
    ]
    if "fid_features" in figures:
        rows.append(f"| fid_features | {figures['fid_features']} | what fid, precision and recall were measured with |")
    return "\n".join(["| figure | value | meaning |", "|---|---|---|", *rows])
