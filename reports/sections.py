"""What the report says of each suite: sentences, tables and figures in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.suites import all_suites, find_suite
from benchmarks.words import plural
from reports.evidence.comparison import Comparison, compare
from reports.evidence.differences import MARGIN
from reports.evidence.families import by_conflict, by_pictures, of_pictures
from reports.evidence.results import Results
from reports.evidence.settings import Setting, names, place, settings, several
from reports.evidence.significance import PairedTests, paired_tests, resample
from reports.evidence.tuning import tuned
from reports.figures import adapters
from reports.figures.conflict import conflict_against_score
from reports.figures.contests import wins
from reports.figures.scores import parameters_against_score, parameters_against_tasks, scores_of_seeds
from reports.figures.style import short, subject
from reports.figures.tuning import best_of, score_against_rate, tuned_against_default
from reports.parts import Block, Part, Section, slug
from reports.tables import transfer
from reports.tables.beside import beside_tables
from reports.tables.cost import cost_table, speed_table
from reports.tables.footnotes import setting
from reports.tables.published import published_table
from reports.tables.scores import conflict_table, control_table, controlled, score_table, title
from reports.tables.significance import across_conflicts, pairs_table, sentences
from reports.tables.tuning import tuning_table

MANY = 8  # methods beyond which a matrix of all pairs is not drawn


class Sections:
    """Makes the sections.

    Args:
        results: what is reported on.
        comparisons: its comparisons.
        figures: the folder that figures are drawn into.
        margin: within which methods are equivalent, in points.
    """

    def __init__(self, results: Results, comparisons: list[Comparison], figures: Path, margin: float = MARGIN) -> None:
        self.results, self.figures, self.margin = results, figures, margin
        self.comparisons = sorted(comparisons, key=place)
        self.anchors = {id(c): slug(name) for c, name in zip(self.comparisons, names(self.comparisons), strict=True)}
        self._tests: dict[int, dict[int, PairedTests]] = {}  # by comparison: they take a while

    def tests(self, comparison: Comparison) -> dict[int, PairedTests]:
        """By budget, made once."""
        if id(comparison) not in self._tests:
            self._tests[id(comparison)] = paired_tests(comparison, self.results, self.margin)
        return self._tests[id(comparison)]

    def settings(self) -> list[Setting]:
        """Where methods are compared on test rows, but for controls."""
        own = several(self.comparisons)
        return settings(own, [self.tests(comparison) for comparison in own])

    def names(self) -> list[str]:
        """Suites that were measured, in order."""
        return list(dict.fromkeys(comparison.config.suite for comparison in self.comparisons))

    def of(self, suite: str) -> list[Comparison]:
        """The comparisons of a suite but for controls: protocols in order, then by conflict, those with most runs first."""
        return [c for c in self.comparisons if c.config.suite == suite and c.pictures in (None, "own")]

    def section(self, suite: str) -> Section:
        """All there is to say of a suite: open its first comparison, or the study across conflicts that it is part of.

        What is tuned comes first, so what was only matched follows what takes its place.
        """
        summary = next(c.suite.summary for c in self.comparisons if c.config.suite == suite)
        section, own = Section(suite, summary), self.of(suite)
        families = by_conflict(own)
        alone = [c for c in own[:1] if not any(c in family for family in families)]
        section.parts.extend(self._comparison(comparison, True, False) for comparison in alone)
        for number, family in enumerate(families, 1):
            section.parts.append(self._conflicts(family, f"{suite}-conflict" + (f"-{number}" if number > 1 else "")))
        for comparison in own[len(alone) :]:
            section.parts.append(self._comparison(comparison, comparison is own[0], True))
        section.parts.extend(self._controls(suite))
        section.parts.extend(self._published(suite, [c for c in own if c.config.split == "test"]))
        return section

    def unmeasured(self) -> Iterator[Section]:
        """Published numbers of suites that nothing was measured of."""
        published = self.results.published
        for suite in dict.fromkeys(published["suite"]) if len(published) else ():
            if suite not in self.names():
                parts = list(self._published(suite, []))
                about = find_suite(suite).summary if suite in all_suites() else "Suites of papers"
                yield Section(suite, f"{about}. Published numbers; nothing of it was measured here.", parts)

    def speed(self) -> Iterator[Section]:
        """The speed benchmark."""
        tables = [speed_table(record, name) for name, record in self.results.speed().items()]
        if tables:
            about = "How long a training step and a forward pass take, next to other implementations."
            yield Section("speed", about, [Part("Timings", "timings", blocks=tables, folded=True)])

    def beside(self, other: Results) -> Section:
        """The same settings in another folder of results."""
        there = compare(other.records)
        tables = list(beside_tables(self.comparisons, there))
        both = plural(len(tables), "comparison")
        about = f"These results (here) and those of {other.folder} (there): {both} measured in both."
        return Section("beside", about, [Part("Here and there", "here-and-there", blocks=tables)] if tables else [])

    def _comparison(self, comparison: Comparison, first: bool, folded: bool) -> Part:
        """first: of its suite, which is shown in full."""
        tests, name = self.tests(comparison), self.anchors[id(comparison)]
        points = [line for budget, paired in tests.items() for line in sentences(comparison, budget, paired)]
        points += comparison.unfinished
        scores = {b: score_table(comparison, b, paired, f"{name}-{b}-scores") for b, paired in tests.items()}
        full = max(len(comparison.at(budget)) for budget in scores)
        most = [budget for budget in scores if len(comparison.at(budget)) == full]
        main = most[len(most) // 2]
        blocks: list[Block] = [scores.pop(main)]
        if len(comparison.budgets) > 1:
            blocks.append(parameters_against_score(comparison, self.figures, f"{name}-parameters"))
        elif len(comparison.entries) > 1:
            blocks.append(scores_of_seeds(comparison, self.figures, f"{name}-seeds"))
        blocks.append(cost_table(comparison, self.results, f"{name}-cost"))
        parts: list[tuple[str, str, Sequence[Block | None]]] = [
            ("At other budgets", "budgets", list(scores.values())),
            ("How learning rates were chosen", "tuning", list(self._tuning(comparison, main, name))),
            ("Every pair of methods", "pairs", self._pairs(comparison, name, first)),
            ("Against one LoRA per task", "gain", [transfer.gain_table(comparison, tests, f"{name}-gain")]),
            ("Inside the adapters", "inside", list(self._inside(comparison, name, first))),
        ]
        if first and len(comparison.budgets) > 1:
            tasks = parameters_against_tasks(comparison, self.figures, f"{name}-parameters-tasks")
            parts.insert(1, ("Each task by parameters", "tasks", [tasks]))
        within = [
            Part(title, f"{name}--{kind}", blocks=own, folded=True) for title, kind, found in parts if (own := _some(found))
        ]
        return Part(setting(comparison), name, points, blocks, folded, within)

    def _tuning(self, comparison: Comparison, main: int, name: str) -> Iterator[Block]:
        """A table for each budget, figures of the one that is shown first."""
        for budget in comparison.budgets:
            arms = tuned(comparison, budget)
            if arms:
                yield tuning_table(arms, title(comparison, budget), self.results, f"{name}-{budget}-tuning")
            if arms and budget == main:
                about = f"{subject(comparison)}, {short(budget)} adapter parameters"
                yield score_against_rate(arms, about, self.figures, f"{name}-rates")
                yield tuned_against_default(arms, about, self.figures, f"{name}-tuned-default")
                yield best_of(arms, about, self.figures, f"{name}-best-of")

    def _pairs(self, comparison: Comparison, name: str, drawn: bool) -> list[Block | None]:
        tests = self.tests(comparison)
        sizes = [len(paired.matched) for paired in tests.values()]
        drawn = drawn and 1 < max(sizes) <= MANY
        figure = wins(comparison, tests, self.figures, f"{name}-matrix") if drawn else None
        return [figure, pairs_table(comparison, tests, f"{name}-pairs")]

    def _inside(self, comparison: Comparison, name: str, drawn: bool) -> Iterator[Block]:
        """What diagnoses show: of every budget as a table; as figures of the smallest one with most methods, of a seed that
        most of them have."""
        table = transfer.inside_table(comparison, self.results, f"{name}-inside")
        if table is None:
            return
        yield table
        if not drawn:
            return
        found = transfer.diagnosed(comparison, self.results)
        methods = {budget: [key for key in found if key[1] == budget] for _, budget in found}
        budget = max(methods, key=lambda budget: (len(methods[budget]), -budget))
        seeds = [seed for key in methods[budget] for seed in found[key]]
        seed = max(sorted(set(seeds)), key=seeds.count)
        first = {label: found[label, budget][seed] for label, _ in methods[budget] if seed in found[label, budget]}
        about = f"{subject(comparison)}, {short(budget)} adapter parameters, seed {seed}"
        yield adapters.cosines(first, about, self.figures, f"{name}-cosines")
        yield adapters.separation(first, about, self.figures, f"{name}-separation")
        mixing = {label: diagnosis for label, diagnosis in first.items() if diagnosis.transforms}
        for number, (label, diagnosis) in enumerate(mixing.items(), 1):
            which = f"-{number}" if number > 1 else ""
            yield adapters.mixing(diagnosis, f"{label}, {about}", self.figures, f"{name}-mixing{which}")
            yield adapters.lambdas(diagnosis, f"{label}, {about}", self.figures, f"{name}-lambda{which}")

    def _published(self, suite: str, measured: list[Comparison]) -> Iterator[Part]:
        table = published_table(suite, self.results.published, measured, f"{suite}-published")
        if table:
            yield Part("Published beside measured", f"{suite}-published-beside", blocks=[table], folded=True)

    def _conflicts(self, family: list[Comparison], name: str) -> Part:
        tests = {
            budget: [self.tests(comparison)[budget] for comparison in family]
            for budget in family[0].budgets
            if all(budget in comparison.budgets for comparison in family)
        }
        conflicts = [comparison.conflict for comparison in family if comparison.conflict is not None]
        points = [across_conflicts(budget, dict(zip(conflicts, own, strict=True))) for budget, own in tests.items()]
        tables = [conflict_table(family, budget, own, f"{name}-{budget}") for budget, own in tests.items()]
        drawn = [conflict_against_score(family, tests, self.figures, name)] if tests else []
        return Part(
            f"Score against conflict, protocol {family[0].config.protocol}",
            f"{name}-study",
            [point for point in points if point],
            [*drawn, *tables],
        )

    def _controls(self, suite: str) -> Iterator[Part]:
        families = [family for family in by_pictures(self.comparisons) if family[0].config.suite == suite]
        for number, family in enumerate(families, 1):
            name = f"{suite}-pictures" + (f"-{number}" if number > 1 else "")
            tables = []
            for budget in family[0].budgets:
                for label, having in controlled(family, budget).items():
                    kinds = of_pictures(having, label, budget)
                    paired = PairedTests(kinds, budget, resample(kinds, self.results), self.margin)
                    tables.append(control_table(kinds, paired, label, f"{name}-{slug(label)}-{budget}"))
            yield Part("Does it use the pictures?", f"{name}-control", blocks=tables)


def _some(blocks: Sequence[Block | None]) -> list[Block]:
    return [block for block in blocks if block is not None]
