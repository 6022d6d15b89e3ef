"""Every method has a colour and a marker of its own in figures, those that are new here too."""

from __future__ import annotations

from pathlib import Path

from tiny_study import study

from benchmarks.experiment.catalogue import methods
from benchmarks.experiment.methods import beyond
from reports.evidence.comparison import compare
from reports.figures.style import OTHER_COLOURS, STYLES, look


def looks(folder: Path, *names: str) -> dict[str, tuple[str, str]]:
    """How methods look in a report of records of all of them."""
    (comparison,) = compare(study(folder, {name: {0: 0.5} for name in names}).records)
    return {entry.name: look(entry) for entry in comparison.entries}


def test_every_method_looks_different_and_keeps_its_look(tmp_path: Path) -> None:
    new = [f"theirs-{number:02}" for number in range(20)]
    found = looks(tmp_path / "all", *methods(), *new)
    assert len(set(found.values())) == len(found) == len(methods()) + 20
    assert {name: found[name] for name in STYLES} == STYLES
    ours = beyond(methods())
    colours = [found[name][0] for name in [*STYLES, *ours, *new]][: len(STYLES) + len(OTHER_COLOURS)]
    assert ours and len(set(colours)) == len(colours)  # markers come into it only where colours run out
    few = looks(tmp_path / "few", ours[-1], "lora", "a-newer-one", new[0])
    assert {name: few[name] for name in (ours[-1], "lora")} == {name: found[name] for name in (ours[-1], "lora")}
