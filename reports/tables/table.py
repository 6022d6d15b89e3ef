"""A table, and the forms it is written in: for the terminal, Markdown, CSV and LaTeX; the page has its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

BOLD = ("\ue000", "\ue001")  # private characters: tabulate escapes what LaTeX would read


@dataclass(frozen=True)
class Text:
    """What stands in a cell. runs: ids of the records behind it."""

    text: str
    bold: bool = False
    runs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Table:
    """name: of its files. rows: as many cells as the header has. notes: what a reader must know, one line each, below the
    table; lead: above it."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Text | str]]
    notes: Sequence[str] = field(default=())
    lead: str = ""

    def plain(self) -> str:
        """For the terminal, without title and notes; a star for bold."""
        return self._tabulate("simple", lambda cell: f"{cell}*" if _bold(cell) else str(cell))

    def markdown(self) -> str:
        """Title, table and notes."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        table = self._tabulate("github", lambda cell: f"**{cell}**" if _bold(cell) else str(cell).replace("|", "\\|"))
        return "\n\n".join(part for part in (f"#### {self.title}", self.lead, table, notes) if part) + "\n"

    def latex(self) -> str:
        """For the booktabs package; title and notes as comments."""
        table = self._tabulate("latex_booktabs", lambda cell: str(cell).join(BOLD) if _bold(cell) else str(cell))
        table = table.replace(BOLD[0], r"\textbf{").replace(BOLD[1], "}").replace("±", r"$\pm$").replace("†", r"\dag{}")
        return "\n".join([*(f"% {line}" for line in (self.title, self.lead, *self.notes) if line), table]) + "\n"

    def csv(self) -> str:
        """The cells alone."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows([[str(cell) for cell in row] for row in self.rows])
        return stream.getvalue()

    def _tabulate(self, style: str, shown: Callable[[Text | str], str]) -> str:
        rows = [[shown(cell) for cell in row] for row in self.rows]
        align = ["left", *["right"] * (len(self.header) - 1)]
        return tabulate(rows, headers=self.header, tablefmt=style, disable_numparse=True, colalign=align)


def _bold(cell: Text | str) -> bool:
    return isinstance(cell, Text) and cell.bold
