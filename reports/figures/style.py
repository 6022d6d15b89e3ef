"""How figures look: one colour and marker per method everywhere, the same files from the same data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.evidence.comparison import Comparison
from reports.evidence.differences import BETTER, EQUIVALENT, UNDECIDED, WORSE
from reports.evidence.entries import Entry
from reports.tables.table import plain_name

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Colours of Okabe and Ito that the colour-blind tell apart, and a marker besides; by method.
STYLES = {
    "lora": ("#0072B2", "o"),
    "dora": ("#56B4E9", "s"),
    "multilora": ("#E69F00", "D"),
    "moelora": ("#009E73", "^"),
    "mtl-lora": ("#D55E00", "v"),
    "heads-only": ("#999999", "x"),
    "lora-per-task": ("#000000", "P"),
    "lora-larger": ("#004466", "p"),
    "full": ("#666666", "*"),
}
# For all other methods, by their place: Tol's muted colours, made for the colour-blind too, and markers that none above has.
OTHER_COLOURS = ("#CC79A7", "#332288", "#999933", "#882255", "#44AA99", "#AA4499", "#117733", "#CC6677", "#DDCC77")
OTHER_MARKERS = "Xh<>d8H"  # 7 with 9 colours: 63 methods look different
# For tasks: Okabe and Ito's colours first, markers where these run out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPX"  # 7 with 8 colours: 56 tasks look different
VERDICTS = {BETTER: ("#0B7A3B", "^"), EQUIVALENT: ("#0072B2", "s"), WORSE: ("#B3261E", "v"), UNDECIDED: ("#777777", "o")}
# Texts of a figure are to be read when it is printed at half its size; labels of records are no formulas.
PARAMETERS: dict[RcKeyType, Any] = {
    "font.size": 11,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
    "axes.titlesize": 11,
    "legend.fontsize": 10,
    "svg.fonttype": "none",
    "text.parse_math": False,
}
DPI = 130
RASTER = 80  # of what an SVG holds as a picture
# What a page does without, beside numbers to a millionth of a point: the names of groups, the font that its style names.
LIGHTER = (
    (r"<metadata>.*?</metadata>|<!--.*?-->| xmlns(:xlink)?=\"[^\"]*\"| version=\"1.1\"", ""),
    (r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1"),
    (r'<g id="[^"]*">', "<g>"),
    (r' id="image[^"]*"', ""),
    (r"font-family: [^;\"]*;? ?", ""),
    (r' transform="rotate\(-?0 [^)]*\)"', ""),
    (r"xlink:href", "href"),
    (r"\s+", " "),
    (r"> <", "><"),
)


@dataclass(frozen=True)
class Figure:
    """A drawn figure: files <name>.png and <name>.svg.

    caption: what is seen and what to look for. alt: what it shows, for those who cannot see it.
    """

    name: str
    caption: str
    svg: str
    alt: str

    @property
    def inline(self) -> str:
        """The SVG as part of a page: light, and with ids that no other figure has."""
        body = self.svg[self.svg.index("<svg") :]
        for pattern, by in LIGHTER:
            body = re.sub(pattern, by, body, flags=re.S)
        body = re.sub(
            r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body
        )  # in tags: texts stay as they are
        return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{crc32(self.name.encode()):x}-", body)


def save(drawing: Drawing, folder: Path, name: str, caption: str, alt: str = "") -> Figure:
    """Write a drawing as PNG and SVG, without the date of writing, and close it."""
    name = plain_name(name)
    with plt.rc_context(PARAMETERS | {"svg.hashsalt": name}):
        drawing.set_dpi(DPI)
        if layout := drawing.get_layout_engine():
            layout.execute(drawing)
            drawing.set_layout_engine(None)  # everything has its place: saving need not find it by a drawing of its own
        drawing.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
        drawing.savefig(folder / f"{name}.svg", dpi=RASTER, metadata={"Date": None})
    plt.close(drawing)
    return Figure(name, caption, (folder / f"{name}.svg").read_text(encoding="utf-8"), alt or caption)


def look(entry: Entry) -> tuple[str, str]:
    """Colour and marker of a method, which no other one has."""
    if entry.place is None:
        return STYLES[entry.name]
    return OTHER_COLOURS[entry.place % len(OTHER_COLOURS)], OTHER_MARKERS[entry.place % len(OTHER_MARKERS)]


def style(entry: Entry) -> dict[str, Any]:
    """Of a method's line with error bars."""
    colour, marker = look(entry)
    line = "--" if entry.reference else "-"
    return {"color": colour, "marker": marker, "linestyle": line, "label": entry.label, "capsize": 3, "linewidth": 1.5}


def label_curves(axes: Axes, x: str, y: str) -> None:
    """Name the axes of a figure with a line per method; the legend stands beside it."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def label_rows(axes: Axes, names: Sequence[str], x: str) -> None:
    """Name the axes of a figure with a row per method, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(x)
    axes.grid(axis="x", alpha=0.3)


def subject(comparison: Comparison, conflict: bool = True) -> str:
    """Suite, backbone and conflict."""
    name = f"{comparison.subject} on {comparison.config.backbone.id.rpartition('/')[2]}"
    return name + (f", conflict {comparison.conflict:g}" if conflict and comparison.conflict is not None else "")


def bars(comparison: Comparison) -> str:
    """What error bars show."""
    seeds = sorted({len(entry.seeds) for entry in comparison.entries})
    several = [f"over {' or '.join(str(count) for count in seeds if count > 1)} seeds"] * (seeds[-1] > 1)
    single = ["over scored rows where there is one seed"] * (seeds[0] == 1)
    return f"bars: 95% intervals {', '.join(several + single)}"


def short(count: int) -> str:
    """Three digits: 338k, 1.35M."""
    size, unit = next((pair for pair in ((1e6, "M"), (1e3, "k")) if count >= 0.9995 * pair[0]), (1, ""))
    digits = f"{count / size:.3g}"
    return digits + unit
