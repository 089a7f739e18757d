"""The masks that a person can ask for by name: `facemask apply --kind kn95 --colour "#1f6feb"`.

Each kind is of one of the eight families of designs.py. That module draws what the segmenter must withstand: prints,
valves, letters, frayed edges, any colour. A kind looks as one would buy it; named_designs.py draws it. Imports nothing
heavy: the command line lists the kinds in its help.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.masks.designs import Family
    from pipeline.masks.records import Straps

Colour = tuple[int, int, int]
"""RGB 0-255."""

WHITE: Colour = (238, 240, 241)


@dataclass(frozen=True)
class Outline:
    """The edge of a mask in mask coordinates: -1 to 1 across, 0 to 1 down."""

    upper_drop: float  # by which the upper edge falls from the middle to the sides
    upper_power: float  # of that fall: 1 gives straight edges, 2 an arch
    lower_rise: float  # by which the lower edge rises to the sides
    lower_power: float
    taper: float  # by which it is narrower at the top and at the bottom than in the middle
    corner_radius: float  # share of the height


@dataclass(frozen=True)
class Kind:
    """A mask that people know by this name."""

    family: "Family"
    description: str  # one line, for --help
    colours: tuple[Colour, ...]  # of the fabric; one is drawn where none is asked for
    straps: "Straps"
    outline: Outline
    reach: tuple[float, float, float]  # fit: level of the upper edge, of the lower edge, extent to each side


KINDS: dict[str, Kind] = {
    "surgical": Kind(
        "surgical",
        "the pleated three-ply mask with ear loops, light blue, green or white",
        ((150, 190, 222), (158, 198, 224), (140, 182, 220), (158, 205, 200), (232, 238, 242)),
        "loops",
        Outline(0.03, 2.0, 0.0, 2.0, 0.02, 0.06),
        (0.86, 4.28, 0.97),
    ),
    "procedure": Kind(
        "pleated",
        "a pleated mask with a visible nose clip, in black, grey or a pastel colour",
        ((44, 45, 48), (120, 124, 130), (226, 190, 198), (196, 186, 216), (188, 206, 178)),
        "loops",
        Outline(0.05, 2.0, 0.02, 2.0, 0.03, 0.08),
        (0.86, 4.28, 0.97),
    ),
    "kn95": Kind(
        "kn95",
        "the fold-flat respirator with a seam down the middle and ear loops (KN95, FFP2)",
        (WHITE, WHITE, (226, 226, 222), (46, 47, 50), (176, 196, 214)),
        "loops",
        Outline(0.2, 1.25, 0.13, 1.5, 0.03, 0.1),
        (0.8, 4.34, 0.93),
    ),
    "ffp2": Kind(
        "duckbill",
        "the duckbill respirator (FFP2, N95) with a fold across and head bands",
        (WHITE, WHITE, (222, 228, 230), (186, 206, 222)),
        "bands",
        Outline(0.16, 1.7, 0.12, 1.8, 0.06, 0.14),
        (0.8, 4.36, 0.93),
    ),
    "cup": Kind(
        "cup",
        "the moulded cup respirator (N95) with a rim and head bands",
        (WHITE, (232, 230, 222), (228, 224, 210)),
        "bands",
        Outline(0.22, 1.9, 0.16, 2.0, 0.14, 0.34),
        (0.78, 4.36, 0.9),
    ),
    "cloth": Kind(
        "cloth",
        "a sewn cotton mask with hems and ear loops, in any colour",
        ((52, 62, 84), (92, 104, 92), (128, 62, 66), (172, 160, 140), (60, 60, 64), (110, 132, 154)),
        "loops",
        Outline(0.16, 1.6, 0.1, 1.7, 0.04, 0.12),
        (0.84, 4.34, 0.91),
    ),
    "sport": Kind(
        "snug",
        "a close-fitting mask of stretch fabric with a seam (sponge, neoprene), mostly dark",
        ((40, 41, 44), (52, 56, 62), (70, 74, 80), (196, 198, 200), (64, 78, 104)),
        "loops",
        Outline(0.24, 1.5, 0.16, 1.8, 0.04, 0.16),
        (0.82, 4.34, 1.0),
    ),
    "gaiter": Kind(
        "gaiter",
        "a tube scarf drawn over nose and neck",
        ((48, 52, 60), (72, 84, 104), (98, 100, 102), (104, 88, 80)),
        "none",
        Outline(0.04, 2.0, 0.0, 1.0, 0.0, 0.04),
        (0.84, 4.95, 1.04),
    ),
}
"""By name, in the order of --help."""

OFTEN = ("surgical",) * 4 + ("kn95",) * 3 + ("procedure", "ffp2", "cup", "cloth", "cloth", "sport")
"""The kinds that are drawn where none is asked for, as often as one meets them; the gaiter only by name."""
