"""What the report says, suite by suite: sentences, tables and figures in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.suites import find_suite
from reports.evidence.comparison import Comparison, by_conflict, by_pictures, of_pictures
from reports.evidence.differences import MARGIN
from reports.evidence.results import Results
from reports.evidence.significance import PairedTests, paired_tests, resample
from reports.figures import adapters
from reports.figures.scores import conflict_against_score, parameters_against_score, parameters_against_tasks, wins
from reports.figures.style import Figure, short, subject
from reports.tables import transfer
from reports.tables.cost import cost_table, speed_table
from reports.tables.footnotes import setting
from reports.tables.published import published_table
from reports.tables.scores import conflict_table, control_table, controlled, score_table
from reports.tables.significance import across_conflicts, pairs_table, sentences
from reports.tables.table import Table

Block = Table | Figure


@dataclass(frozen=True)
class Part:
    """A comparison, or what else belongs together. folded: read on demand. points: plain sentences."""

    title: str
    points: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """All of a suite."""

    name: str
    summary: str
    parts: list[Part] = field(default_factory=list)


class Sections:
    """Makes the sections. figures: the folder they are drawn into."""

    def __init__(self, results: Results, comparisons: list[Comparison], figures: Path, margin: float = MARGIN) -> None:
        self.margin = margin
        self.results, self.comparisons, self.figures = results, comparisons, figures
        self._tests: dict[int, dict[int, PairedTests]] = {}  # by comparison: they take a while

    def names(self) -> list[str]:
        """Suites that were measured, in the order of the paper, generated data last."""
        order = ["nlu", "commonsense", "image-text", "ads"]
        found = dict.fromkeys(comparison.config.suite for comparison in self.comparisons)
        return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))

    def of(self, suite: str) -> list[Comparison]:
        """The comparisons of a suite but for controls: in the order of conflict, those with most runs first."""
        own = [c for c in self.comparisons if c.config.suite == suite and c.pictures in (None, "own")]
        return sorted(own, key=lambda c: c.conflict if c.conflict is not None else -1)

    def section(self, suite: str) -> Section:
        """Everything there is to say of a suite."""
        section, own = Section(suite, find_suite(suite).summary), self.of(suite)
        families = by_conflict(own)
        for number, family in enumerate(families, 1):
            section.parts.append(self._conflicts(family, f"{suite}-conflict" + (f"-{number}" if number > 1 else "")))
        for number, comparison in enumerate(own, 1):
            name = suite if len(own) == 1 else f"{suite}-{number}"
            folded = any(comparison is member for family in families for member in family)
            section.parts.extend(self._comparison(comparison, name, folded))
        section.parts.extend(self._controls(suite))
        section.parts.extend(self._published(suite, [c for c in own if c.config.split == "test"]))
        return section

    def unmeasured(self) -> Iterator[Section]:
        """Published numbers of suites that nothing was measured of."""
        published = self.results.published
        for suite in dict.fromkeys(published["suite"]) if len(published) else ():
            if suite not in self.names():
                yield Section(suite, "Published numbers; nothing of it was measured here.", list(self._published(suite, [])))

    def speed(self) -> Iterator[Section]:
        """The speed benchmark."""
        tables = [speed_table(record, name) for name, record in self.results.speed().items()]
        if tables:
            yield Section("speed", "How long methods take, next to other implementations.", [Part("Timings", blocks=tables)])

    def _comparison(self, comparison: Comparison, name: str, folded: bool) -> Iterator[Part]:
        tests = self.tests(comparison)
        points = [line for budget, paired in tests.items() for line in sentences(comparison, budget, paired)]
        blocks: list[Block] = [
            score_table(comparison, budget, paired, f"{name}-{budget}-scores") for budget, paired in tests.items()
        ]
        if len(comparison.entries) > 1:
            blocks.append(parameters_against_score(comparison, self.figures, f"{name}-parameters"))
            if len(comparison.budgets) > 1:
                blocks.append(parameters_against_tasks(comparison, self.figures, f"{name}-parameters-tasks"))
            if any(len(paired.matched) > 1 for paired in tests.values()):
                blocks.append(wins(comparison, tests, self.figures, f"{name}-wins"))
        tables = [
            pairs_table(comparison, tests, f"{name}-pairs"),
            transfer.gain_table(comparison, tests, f"{name}-gain"),
        ]
        blocks += [table for table in tables if table]
        blocks += self._inside(comparison, name)
        blocks.append(cost_table(comparison, self.results, f"{name}-cost"))
        yield Part(setting(comparison), points, blocks, folded)

    def tests(self, comparison: Comparison) -> dict[int, PairedTests]:
        """By budget, made once."""
        if id(comparison) not in self._tests:
            self._tests[id(comparison)] = paired_tests(comparison, self.results, self.margin)
        return self._tests[id(comparison)]

    def _inside(self, comparison: Comparison, name: str) -> Iterator[Block]:
        """What diagnoses show: of every budget as a table; as figures of the smallest one with most methods, of a seed that
        most of them have."""
        table = transfer.inside_table(comparison, self.results, f"{name}-inside")
        if table is None:
            return
        yield table
        found = transfer.diagnosed(comparison, self.results)
        methods = {budget: [key for key in found if key[1] == budget] for _, budget in found}
        budget = max(methods, key=lambda budget: (len(methods[budget]), -budget))
        seeds = [seed for key in methods[budget] for seed in found[key]]
        seed = max(sorted(set(seeds)), key=seeds.count)
        first = {label: found[label, budget][seed] for label, _ in methods[budget] if seed in found[label, budget]}
        about = f"{subject(comparison)}, {short(budget)} adapter parameters, seed {seed}"
        yield adapters.cosines(first, about, self.figures, f"{name}-cosines")
        yield adapters.separation(first, about, self.figures, f"{name}-separation")
        mixing = {label: diagnosis for label, diagnosis in first.items() if "mixing" in diagnosis}
        for number, (label, diagnosis) in enumerate(mixing.items(), 1):
            which = f"-{number}" if number > 1 else ""
            yield adapters.mixing(diagnosis, f"{label}, {about}", self.figures, f"{name}-mixing{which}")
            yield adapters.lambdas(diagnosis, f"{label}, {about}", self.figures, f"{name}-lambda{which}")

    def _published(self, suite: str, measured: list[Comparison]) -> Iterator[Part]:
        table = published_table(suite, self.results.published, measured, f"{suite}-published")
        if table:
            yield Part("Published beside measured", blocks=[table])

    def _conflicts(self, family: list[Comparison], name: str) -> Part:
        tests = {
            budget: [self.tests(comparison)[budget] for comparison in family]
            for budget in family[0].budgets
            if all(budget in comparison.budgets for comparison in family)
        }
        conflicts = [comparison.conflict for comparison in family]
        points = [across_conflicts(budget, dict(zip(conflicts, own, strict=True))) for budget, own in tests.items()]
        tables = [conflict_table(family, budget, own, f"{name}-{budget}") for budget, own in tests.items()]
        drawn = [conflict_against_score(family, tests, self.figures, name)] if tests else []
        return Part("Score against conflict", [point for point in points if point], [*tables, *drawn])

    def _controls(self, suite: str) -> Iterator[Part]:
        families = [family for family in by_pictures(self.comparisons) if family[0].config.suite == suite]
        for number, family in enumerate(families, 1):
            name = f"{suite}-pictures" + (f"-{number}" if number > 1 else "")
            tables = []
            for budget in family[0].budgets:
                for label, having in controlled(family, budget).items():
                    kinds = of_pictures(having, label, budget)
                    paired = PairedTests(kinds, budget, resample(kinds, self.results), self.margin)
                    tables.append(control_table(kinds, paired, label, f"{name}-{label}-{budget}"))
            yield Part("Does it use the pictures?", blocks=tables)
