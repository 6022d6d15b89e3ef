"""Texts of others in tables: they stay texts, whatever form a table is written in."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from mtl_lora import InvalidInput
from reports.evidence.results import PUBLISHED, _published
from reports.report import _write_tables
from reports.tables.table import Table, Text, plain_name

HOSTILE = r"a|b <script>x</script> **c** `d` \e [f](javascript:g) $h_1$ 5% & {i} ~#"


def table(*cells: str) -> Table:
    return Table(
        "name", f"Title\nof {HOSTILE}", ["head|er", *("x" * len(cells))[1:]], [[Text(cell) for cell in cells]], ["a\nnote"]
    )


def test_markdown_shows_texts_as_they_are() -> None:
    title, lines = (form := table(HOSTILE, "two\nlines").markdown().splitlines())[0], form
    assert title.startswith("#### Title of a")
    (row,) = [line for line in lines if "two lines" in line]
    assert row.count("|") - row.count(r"\|") == 3  # a cell's edges
    assert "<script>" not in row.replace(r"\<", "") and r"\*\*c\*\*" in row and r"\`d\`" in row and r"[f]\(javascript" in row


def test_latex_gets_nothing_to_run() -> None:
    form = table(HOSTILE, "two\nlines", r"\input{x}").latex()
    assert r"\input{" not in form and r"\textbackslash{}input" in form and r"5\% \& \{i\}" in form and r"\$h\_1\$" in form
    for line in form.splitlines():
        assert line.startswith(("%", "\\")) or r"\\" in line  # comments, commands, rows


def test_csv_holds_no_formula_and_the_same_texts() -> None:
    texts = ["=1+1", "@x", "+cmd|' /C calc'!A0", "-2+cmd", "+1.2 [0.3, 2.1]", "-0.5", "- a note", 'a,b\n"c"', HOSTILE]
    (head, row) = csv.reader(io.StringIO(table(*texts).csv()))
    assert head[0] == "head|er"
    assert row == ["'=1+1", "'@x", "'+cmd|' /C calc'!A0", "'-2+cmd", *texts[4:6], "'- a note", *texts[7:]]


@pytest.mark.parametrize("name", ["../../../x", "/etc/x", "a/b", "a\\b", ".hidden", "", "a\0b", "a\nb"])
def test_names_never_become_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be part of a file's name"):
        _write_tables([Table(name, "Title", ["a"], [["1"]])], tmp_path)
    assert not list(tmp_path.rglob("*"))
    assert plain_name("nlu-84,480-scores") == "nlu-84,480-scores"


def test_a_published_suite_outside_the_report(tmp_path: Path) -> None:
    rows = [PUBLISHED, ["../../../x", *[""] * (len(PUBLISHED) - 1)]]
    (tmp_path / "table.csv").write_text("\n".join(map(",".join, rows)))
    with pytest.raises(InvalidInput, match=r"table.csv names a suite '../../../x'; names are letters"):
        _published(tmp_path / "table.csv")
