"""Writes the report: everything that a folder of results can tell, as one page and in files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import RootModel, ValidationError

from benchmarks.experiment.choosing import verify
from benchmarks.experiment.methods import OURS
from benchmarks.progress import shown
from mtl_lora.errors import InvalidInput
from reports import page
from reports.evidence.comparison import Comparison, compare
from reports.evidence.differences import MARGIN, checked
from reports.evidence.results import Results
from reports.evidence.settings import Setting
from reports.figures.examples import draw_samples
from reports.figures.forest import forest
from reports.overview import basis, claims, short
from reports.parts import Part
from reports.sections import Sections
from reports.tables.scores import long_table
from reports.tables.summary import advice, summary_table
from reports.tables.table import Table, plain_name

if TYPE_CHECKING:
    from benchmarks.sources import Source

PAGE, INDEX, MANIFEST = "index.html", "index.md", "manifest.json"
SAMPLES = "samples"  # folder of pictures that belong to data sets; those of generated data are figures


def write_report(
    folder: Path, out: Path, source: Source | None = None, margin: float = MARGIN, other: Path | None = None
) -> None:
    """Write page, tables and figures into ``out``, and print the short of it.

    Args:
        folder: of results.
        out: where to write; what an earlier report wrote there is replaced.
        source: where the data of the runs are, for pictures with the methods' answers; generated ones are always drawn.
        margin: within which methods are called equivalent, in points of percent.
        other: another folder of results, to stand beside these.

    Raises:
        InvalidInput: no records, damaged ones, a margin out of range, or files in the way that no report wrote.
    """
    checked(margin)
    results, beside = Results(folder), Results(other) if other else None
    with TemporaryDirectory() as made:
        short = _make(results, beside, out, Path(made), source, margin)
        _replace(Path(made), out)
    print(f"{short}\n\nwritten: {out}/{PAGE}, with {INDEX}, {page.TABLES}/ and {page.FIGURES}/ beside it")


def _make(results: Results, beside: Results | None, out: Path, made: Path, source: Source | None, margin: float) -> str:
    """Make everything in the folder ``made``; returns the short of it for the terminal."""
    for part in (page.TABLES, page.FIGURES):
        (made / part).mkdir()
    for record in results.records:
        verify(record, results.find)
    comparisons = compare(results.records, results.failures)
    maker = Sections(results, comparisons, made / page.FIGURES, margin)
    sections, names = [], maker.names()
    with shown("report", len(names), True) as advance:
        for name in names:
            section = maker.section(name)
            for comparison in maker.of(name)[:1]:
                section.parts.extend(_samples(comparison, results, source, made))
            sections.append(section)
            advance()
    sections += [*([maker.beside(beside)] if beside else []), *maker.unmeasured(), *maker.speed()]
    settings = maker.settings()
    overview = page.Overview(claims(settings), basis(settings, margin), _first(settings, results, made / page.FIGURES))
    tables = [
        block for section in sections for part in section.parts for block in part.all_blocks() if isinstance(block, Table)
    ]
    summary = [block for block in overview.blocks if isinstance(block, Table)]
    _write_tables([*summary, long_table(maker.comparisons), *tables], made / page.TABLES)
    (made / PAGE).write_text(page.html(overview, sections, maker.comparisons, results, out), encoding="utf-8")
    (made / INDEX).write_text(page.index(overview, sections), encoding="utf-8")
    return short(settings, margin)


def _first(settings: Sequence[Setting], results: Results, figures: Path) -> list:
    """What the first screen shows: nothing where no two methods were matched."""
    if not settings:
        return []
    drawn = (
        [forest(settings, OURS, figures, "forest")]
        if any(s.over_plain(e.name) for s in settings for e in s.tests.matched)
        else []
    )
    return [*drawn, advice(settings, results), summary_table(settings)]


def _samples(comparison: Comparison, results: Results, source: Source | None, out: Path) -> Iterable[Part]:
    """Pictures with every answer: of generated data in the page, of data sets in a folder that is not for publishing."""
    try:
        if comparison.conflict is not None:
            figures = draw_samples(comparison, results, None, out / page.FIGURES)
            if figures:
                yield Part("Pictures and answers", f"{comparison.config.suite}-samples", blocks=figures, folded=True)
        elif comparison.suite.pictures and source is not None:
            (out / SAMPLES).mkdir(exist_ok=True)
            for figure in draw_samples(comparison, results, source, out / SAMPLES):
                print(f"pictures and answers: {SAMPLES}/{figure.name}.png")
    except InvalidInput as error:  # other data than were scored: the report needs none
        print(f"no pictures: {error}")


def _write_tables(tables: Iterable[Table], folder: Path) -> None:
    for table in tables:
        forms = {"csv": table.csv()} | ({"md": table.markdown(), "tex": table.latex()} if table.paper else {})
        for ending, text in forms.items():
            (folder / f"{plain_name(table.name)}.{ending}").write_text(text, encoding="utf-8")


def _replace(made: Path, out: Path) -> None:
    """Move what was made to ``out``, in place of what an earlier report made there; files that others made or changed stay.

    The manifest names the files of a report, with the hashes by which it knows them again.
    """
    manifest = out / MANIFEST
    earlier = _read_manifest(manifest) if manifest.exists() else {}
    files = {path.relative_to(made).as_posix(): _hash(path) for path in sorted(made.rglob("*")) if path.is_file()}
    for name in {**earlier, **files}:
        if (out / name).exists() and _hash(out / name) != earlier.get(name):
            raise InvalidInput(
                f"{out / name} is not as `mtl-lora report` left it: move it, or give another folder with --out"
            )
    for name in earlier:
        (out / name).unlink(missing_ok=True)
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made / name, out / name)
    manifest.write_text(json.dumps(files, indent=0) + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, str]:
    """The hashes of an earlier report's files, by name; InvalidInput where no report wrote this."""
    refusal = InvalidInput(f"{path} is not as `mtl-lora report` writes it: move it, or give another folder with --out")
    try:
        earlier = RootModel[dict[str, str]].model_validate_json(path.read_bytes()).root
    except ValidationError:
        raise refusal from None
    if any(Path(name).is_absolute() or ".." in Path(name).parts or len(sha256) != 64 for name, sha256 in earlier.items()):
        raise refusal
    return earlier


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
