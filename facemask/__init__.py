"""facemask from Python: curate folders of face photos, read the result, and put masks on faces or take them off.

    import facemask

    rows = facemask.curate("photos", out="curated", domain="unmasked")
    pixels = facemask.apply("anna.jpg", kind="kn95", colour="#1f6feb")
    bare = facemask.apply("masked.jpg", unmask=True)

Importing this package loads neither PyTorch nor Prefect; a function loads what it needs. Errors that a user can act on
are FacemaskError, with a message of one line.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from pipeline.tools.draw_masks import MaskChoice

__all__ = ["FacemaskError", "Model", "apply", "curate", "load_manifest", "load_model"]
__version__ = VERSION

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Model:
    """A trained model, as load_model finds it. Its weights are read when it is first applied."""

    name: str  # that was asked for
    folder: Path  # with checkpoint.json and the weights
    method: str  # of training: guided, cyclegan, pix2pix or simgan
    image_px: int  # side of the face crops that it was trained on, px
    directions: tuple[Literal["mask", "unmask"], ...]  # what it can do
    data_licence: str  # of the images that it was trained on


def curate(
    folder: AnyPath, out: AnyPath, *, domain: Literal["masked", "unmasked"] | None = None, params: AnyPath | None = None
) -> "pd.DataFrame":
    """Curate the images below `folder`: measure each, decide which are kept and why not, find near-duplicates.

    `out` is a folder that gets manifest.parquet, and the page index.html with its data; what an earlier call wrote
    there is replaced, and its measurements are used again. `domain` says what the faces should wear; it may be None
    for folders in the layout of FFHQ or MaskedFace-Net. `params` is a params.yaml with other limits than those
    that come with facemask. Progress is printed.

    Returns the manifest, one row for every image (docs/manifest.md has the columns and their units); `accepted` says
    whether it is kept, `reasons` why not. Raises FacemaskError where there are no images, where none is accepted, and
    where `out` has files of others.
    """
    from pipeline.tools.curate_folder import curate_folder

    if domain not in (None, "masked", "unmasked"):
        raise FacemaskError(f"there is no domain '{domain}': it is masked or unmasked")
    with _no_main_module():
        page = curate_folder(Path(folder), Path(out), domain, None if params is None else Path(params))
    return load_manifest(page.parent)


def load_manifest(path: AnyPath = ".") -> "pd.DataFrame":
    """Return a manifest as a data frame, one row for every image (docs/manifest.md has the columns and their units).

    `path` is a manifest, a folder that curate wrote, or a project's folder. Whole numbers stay whole beside missing
    values: they are pandas' nullable types. Raises FacemaskError where there is no manifest, or one of another version.
    """
    from pipeline.paths import Paths
    from pipeline.storage.manifest import read_manifest, to_frame

    place = Path(path)
    files = [place / "manifest.parquet", Paths(place).manifest] if place.is_dir() else [place]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise FacemaskError(f"no manifest at {place}: name the file, the folder 'out' of curate, or a project's folder")
    return to_frame(read_manifest(file))


def load_model(name: AnyPath | None = None) -> Model:
    """Find a trained model: `promoted`, a name as `v1`, or a checkpoint's folder.

    `promoted` and `v1` are those of the project in the current folder. None is the promoted model. Raises FacemaskError
    for an unknown name, where no model is promoted, and for a folder that is no checkpoint.
    """
    from flows.model_choice import find_checkpoint
    from models.registry import PROMOTED
    from models.training.checkpoint_info import directions, read_info

    folder = find_checkpoint(None if name is None else Path(name)).resolve()
    info = read_info(folder)
    return Model(
        name=PROMOTED if name is None else str(name),
        folder=folder,
        method=info.params["method"],
        image_px=int(info.params["image_px"]),
        directions=directions(info),
        data_licence=info.data_licence,
    )


def apply(
    image: "AnyPath | NDArray[np.uint8] | Image",
    *,
    kind: str | None = None,
    colour: str | None = None,
    texture: AnyPath | None = None,
    like: AnyPath | None = None,
    seed: int | None = None,
    model: Model | AnyPath | None = None,
    unmask: bool = False,
) -> NDArray[np.uint8]:
    """Put a mask on every bare face of a photo, or with `unmask` take the masks off; return the new picture.

    `image` is a photo's file, an array (H, W, 3) uint8 RGB, or a Pillow image. The result has the same size, (H, W, 3)
    uint8 RGB; all pixels but those of the faces are the photo's, and `image` itself does not change. A photo without
    such a face comes back as it is. Transparent pixels are seen on white. Arrays carry no mark that they are synthetic:
    the files that the command `facemask apply` writes do.

    Without `model` masks are drawn, and five arguments say which: `kind` (surgical, procedure, kn95, ffp2, cup, cloth,
    sport, gaiter; None: another for each face), `colour` ('#1f6feb' or a CSS name) or `texture` (an image's file) of
    the fabric, `like` (a photo's file: the mask that somebody wears there), and `seed` (0 or more; the same seed, the
    same masks; None: from the photo's pixels). With `model`, as load_model returns or takes it, its generator paints.
    `unmask` without `model` takes the promoted model of the project in the current folder; where there is none, or with
    `model="drawing"`, a likely lower face is drawn in place of each mask.

    Raises FacemaskError for a file or an array that is no photo, for unknown or contradictory arguments, and for a
    model that cannot do it.
    """
    pixels = _pixels(image)
    found = model if isinstance(model, Model) else _model_or_drawing(model, unmask)
    if found is None and not unmask:
        from pipeline.tools.draw_masks import draw_photo

        return draw_photo(pixels, _choice(kind, colour, texture, like, seed)).pixels
    given = {"kind": kind, "colour": colour, "texture": texture, "like": like, "seed": seed}
    if drawing := [name for name, value in given.items() if value is not None]:
        other = "a model paints its own" if found else "unmask takes masks off"
        raise FacemaskError(f"{drawing[0]} is for drawn masks, and {other}: leave one of them out")
    if found is None:
        from pipeline.tools.draw_bare_faces import draw_bare

        return draw_bare(pixels).pixels
    direction: Literal["mask", "unmask"] = "unmask" if unmask else "mask"
    if direction not in found.directions:
        raise FacemaskError(f"model {found.name} only puts masks on: take another, or model='drawing'")
    from models.inference.painter import paint_photo
    from pipeline.tools.draw_masks import ANY_MASK

    return paint_photo(pixels, found.folder, direction, ANY_MASK).pixels


def _model_or_drawing(name: AnyPath | None, unmask: bool) -> Model | None:
    """The model that is named, and for taking masks off without a name the promoted one; None: it is drawn."""
    if name is None and not unmask:
        return None
    from flows.model_choice import is_drawing
    from models import registry

    if name is None:
        return None if registry.read().promoted is None else load_model()
    return None if is_drawing(Path(name)) else load_model(name)


def _choice(
    kind: str | None, colour: str | None, texture: AnyPath | None, like: AnyPath | None, seed: int | None
) -> "MaskChoice":
    from pipeline.tools.draw_masks import make_choice

    try:
        return make_choice(
            kind, colour, None if texture is None else Path(texture), seed, None if like is None else Path(like)
        )
    except FacemaskError as error:  # which speaks of the command line's options
        text = re.sub(r"(?<!\S)--(?=(kind|colour|texture|like|seed)\b)", "", str(error))
        raise FacemaskError(text) from error


def _pixels(image: "AnyPath | NDArray[np.uint8] | Image") -> NDArray[np.uint8]:
    """The pixels of a photo, (H, W, 3) uint8 RGB, in an array of their own. Raises FacemaskError."""
    from pipeline.storage.files import read_image_file
    from pipeline.storage.images import MAX_PIXELS, MAX_SIDE, decode

    if isinstance(image, str | os.PathLike):
        try:
            picture = decode(read_image_file(Path(image)), None)
        except OSError as error:
            raise FacemaskError(f"{os.fspath(image)}: {error.strerror or error}: name a photo") from error
        if picture is None:
            raise FacemaskError(f"{os.fspath(image)} cannot be read as an image: take another")
        return picture.pixels()
    array = np.array(image if isinstance(image, np.ndarray) else image.convert("RGB"))
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise FacemaskError(f"an array {array.shape} of {array.dtype} is no photo: it must be (H, W, 3) of uint8, RGB")
    if array.shape[0] * array.shape[1] > MAX_PIXELS or max(array.shape) > MAX_SIDE:
        raise FacemaskError(f"a photo {array.shape} is larger than {MAX_PIXELS:,} px or a side of {MAX_SIDE:,} px")
    return array


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the caller's script from worker processes, which would run it again where it does not guard against that.

    Nothing that they are sent is of that script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
