"""A table, and the forms it is written in: for the terminal, Markdown, CSV and LaTeX; the page has its own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from mtl_lora.errors import InvalidInput

BOLD = ("\ue000", "\ue001")  # private characters: tabulate escapes what LaTeX would read


@dataclass(frozen=True)
class Text:
    """What stands in a cell. runs: ids of the records behind it."""

    text: str
    bold: bool = False
    runs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


Cell = Text | str


@dataclass(frozen=True)
class Table:
    """A table with what a reader must know of it in particular; words of all tables are in the glossary.

    Attributes:
        name: of its files.
        rows: as many cells as the header has.
        notes: below the table, one line each.
        lead: above it.
        paper: whether it goes into papers: as LaTeX and Markdown too, not as CSV alone.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    lead: str = ""
    paper: bool = True

    def plain(self) -> str:
        """For the terminal, without title and notes; a star for bold."""
        return self._tabulate("simple", lambda cell: f"{cell}*" if _bold(cell) else str(cell))

    def markdown(self) -> str:
        """Title, table and notes."""
        notes = "\n".join(f"- {markdown(note)}" for note in self.notes)
        table = self._tabulate("github", lambda cell: f"**{markdown(cell)}**" if _bold(cell) else markdown(cell))
        return (
            "\n\n".join(part for part in (f"#### {markdown(self.title)}", markdown(self.lead), table, notes) if part) + "\n"
        )

    def latex(self) -> str:
        """For the booktabs package; title and notes as comments."""
        table = self._tabulate("latex_booktabs", lambda cell: _line(cell).join(BOLD) if _bold(cell) else _line(cell))
        table = table.replace(BOLD[0], r"\textbf{").replace(BOLD[1], "}").replace("±", r"$\pm$").replace("†", r"\dag{}")
        return "\n".join([*(f"% {_line(text)}" for text in (self.title, self.lead, *self.notes) if text), table]) + "\n"

    def csv(self) -> str:
        """The cells alone; none of them a formula to a spreadsheet."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([[_no_formula(str(cell)) for cell in row] for row in (self.header, *self.rows)])
        return stream.getvalue()

    def _tabulate(self, style: str, shown: Callable[[Cell], str]) -> str:
        rows = [[shown(cell) for cell in row] for row in self.rows]
        align = ["left", *["right"] * (len(self.header) - 1)]
        return tabulate(
            rows, headers=[shown(name) for name in self.header], tablefmt=style, disable_numparse=True, colalign=align
        )


def plain_name(name: str) -> str:
    """A name that can be part of a file's; InvalidInput for one that would lead to another folder or hide the file."""
    if not re.fullmatch(r"[^./\\\0-\x1f][^/\\\0-\x1f]*", name):
        raise InvalidInput(f"{name!r} cannot be part of a file's name")
    return name


def _line(text: Cell) -> str:
    return " ".join(str(text).split())


def markdown(text: Cell) -> str:
    """On one line, with nothing that Markdown would take for its own: bold, code, HTML, a link, the edge of a cell."""
    return re.sub(r"[\\`*<>|]|(?<=\])\(", r"\\\g<0>", _line(text))


def _no_formula(text: str) -> str:
    """With an apostrophe in front where a spreadsheet would compute it; numbers, signs included, stay as they are."""
    return f"'{text}" if re.match(r"[=@\t\r]|[+-](?![-+\d.,%±()\[\] e]*$)", text) else text


def _bold(cell: Cell) -> bool:
    return isinstance(cell, Text) and cell.bold
