"""How figures look: one colour and marker a method everywhere, the same files from the same data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Drawing

from reports.evidence.comparison import Comparison, Entry
from reports.tables.table import plain_name

# Colours of Okabe and Ito that the colour-blind tell apart, and a marker besides.
STYLES = {
    "lora": ("#0072B2", "o"),
    "dora": ("#56B4E9", "s"),
    "multilora": ("#E69F00", "D"),
    "moelora": ("#009E73", "^"),
    "mtl-lora": ("#D55E00", "v"),
    "heads-only": ("#999999", "x"),
    "lora-per-task": ("#000000", "P"),
    "full": ("#666666", "*"),
}
OTHER = ("#CC79A7", "X")
# For tasks: Okabe and Ito's colours first, markers where these run out.
TASK_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#999999")
TASK_MARKERS = "osD^vPX"  # 7 with 8 colours: 56 tasks look different
# Texts of a figure are to be read when it is printed at half its size.
PARAMETERS = {"font.size": 11, "axes.titlesize": 11, "legend.fontsize": 10, "svg.hashsalt": "mtl-lora"}
DPI = 130


@dataclass(frozen=True)
class Figure:
    """A drawn figure: files <name>.png and <name>.svg. caption: what is seen, for those who cannot see it too."""

    name: str
    caption: str
    svg: bytes


def save(drawing: Drawing, folder: Path, name: str, caption: str) -> Figure:
    """Write a drawing as PNG and SVG, without the date of writing, and close it."""
    name = plain_name(name)
    with plt.rc_context(PARAMETERS):
        drawing.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
        drawing.set_layout_engine("none")  # everything has its place by now
        drawing.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(drawing)
    return Figure(name, caption, (folder / f"{name}.svg").read_bytes())


def style(entry: Entry) -> dict:
    """Of a method's line with error bars."""
    colour, marker = STYLES.get(entry.name, OTHER)
    line = "--" if entry.reference else "-"
    return {"color": colour, "marker": marker, "linestyle": line, "label": entry.label, "capsize": 3, "linewidth": 1.5}


def subject(comparison: Comparison, conflict: bool = True) -> str:
    """Suite, backbone and conflict."""
    name = f"{comparison.config.suite} on {comparison.config.backbone.id.rpartition('/')[2]}"
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
