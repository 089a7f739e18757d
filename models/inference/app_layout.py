"""What is on the page of `facemask app`: its fields and pictures. models/inference/app.py says what they do."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.inference.app_names import RESULT_ID
from pipeline.masks.catalogue import KINDS

if TYPE_CHECKING:
    import gradio

EXAMPLES = {
    "Astronaut": "face.jpg",
    "Glasses and cap": "glasses.jpg",
    "Two faces": "two.jpg",
    "Masked": "masked.jpg",
}
"""The pictures to try, by the words on their buttons."""
ANY_KIND = "any"
CSS = """
.example { flex-direction: column; font-size: .9rem }
.example img { width: auto; height: 4.5rem; border-radius: .4rem; margin: 0 0 .3rem }
"""
_FOLDER = Path(__file__).with_name("examples")


@dataclass(frozen=True)
class Fields:
    """What the user can change."""

    direction: "gradio.Radio"
    kind: "gradio.Dropdown"
    colour: "gradio.Textbox"
    like: "gradio.Image"
    photo: "gradio.Image"
    examples: dict[str, "gradio.Button"]  # by the name of their file
    photos: "gradio.File"
    paint_all: "gradio.Button"

    @property
    def choices(self) -> list[Any]:
        """The fields that say what is painted, in the order of the requests."""
        return [self.direction, self.kind, self.colour, self.like]


@dataclass(frozen=True)
class Results:
    """What the page shows."""

    picture: "gradio.ImageSlider"
    download: "gradio.DownloadButton"
    summary: "gradio.Markdown"
    archive: "gradio.DownloadButton"
    archive_summary: "gradio.Markdown"


def example_file(name: str) -> Path:
    """The file of an example."""
    return _FOLDER / name


def lay_out(directions: list[str], chooses: bool, about: str) -> tuple[Fields, Results]:
    """Add everything to the page that is being built.

    `chooses`: whether kind and colour can be chosen; the paper's generator paints what it has learned.
    """
    import gradio

    gradio.Markdown("# facemask\nDrop a photo, of any size and with any number of faces, or try one of these.")
    with gradio.Row():
        examples = {
            file: gradio.Button(label, icon=example_file(file), elem_classes="example", min_width=120)
            for label, file in EXAMPLES.items()
        }
    direction = gradio.Radio(directions, value=directions[0], label="What to do")
    with gradio.Row():
        kind = gradio.Dropdown([ANY_KIND, *KINDS], value=ANY_KIND, label="Kind of mask", visible=chooses)
        hint = "#1f6feb, navy, ... and Enter; empty: the kind's own"
        colour = gradio.Textbox(label="Colour", placeholder=hint, max_lines=1, visible=chooses)
    with gradio.Accordion("Copy the mask of another photo", open=False):
        like = _photo_field("Photo of somebody who wears a mask")
    with gradio.Row():
        photo = _photo_field("Photo")
        with gradio.Column():
            picture = gradio.ImageSlider(
                label="Before and after: move the line",
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
                elem_id=RESULT_ID,
            )
            download = gradio.DownloadButton("Download the result", interactive=False)
    summary = gradio.Markdown()
    with gradio.Accordion("Many photos at once", open=False):
        photos = gradio.File(label="Photos", file_count="multiple", type="filepath")
        paint_all = gradio.Button("Paint them all")
        archive_summary = gradio.Markdown()
        archive = gradio.DownloadButton("Download all as ZIP", interactive=False)
    gradio.Markdown(about)
    fields = Fields(direction, kind, colour, like, photo, examples, photos, paint_all)
    return fields, Results(picture, download, summary, archive, archive_summary)


def _photo_field(label: str) -> "gradio.Image":
    import gradio

    return gradio.Image(label=label, alt_text=label, type="filepath", image_mode=None, buttons=[])
