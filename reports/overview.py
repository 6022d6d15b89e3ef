"""The first screen: the question, what the records answer, and which adapter for which case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.experiment.methods import OURS, order_for_display
from benchmarks.words import plural
from reports.evidence.comparison import PLAIN
from reports.evidence.differences import BETTER, Difference
from reports.evidence.settings import Setting, by_case
from reports.tables.significance import counted, listed, together
from reports.tables.summary import summary_table

QUESTION = (
    "Several tasks, one frozen model, a budget of trained parameters: which adapter, and is MTL-LoRA better than plain LoRA?"
)


@dataclass(frozen=True)
class Claim:
    """What the records answer: a sentence, and the counts and sizes behind it."""

    answer: str
    detail: str


def claims(settings: Sequence[Setting]) -> list[Claim]:
    """How MTL-LoRA fares in each case, then how the others do; protocols apart."""
    protocols = list(dict.fromkeys(setting.protocol for setting in settings))
    found = []
    for protocol in protocols:
        within = f"Protocol {protocol}: " if len(protocols) > 1 else ""
        own = [setting for setting in settings if setting.protocol == protocol]
        for (_, where), members in by_case(own).items():
            differences = [difference for setting in members for difference in setting.over_plain(OURS)]
            if differences:
                answer = f"{within}On {where} ({_about(members)}) {together(OURS, differences)}."
                found.append(Claim(answer, f"{_capital(counted(differences))}{_least(differences)}."))
        found += _others(within, own)
    return found


def _about(settings: Sequence[Setting]) -> str:
    """The suites, and the conflicts where there are any."""
    suites = ", ".join(dict.fromkeys(setting.comparison.config.suite for setting in settings))
    conflicts = sorted({s.comparison.conflict for s in settings if s.comparison.conflict is not None})
    return f"{suites} at conflict {', '.join(f'{conflict:g}' for conflict in conflicts)}" if conflicts else suites


def _others(within: str, settings: Sequence[Setting]) -> list[Claim]:
    names = order_for_display({e.name for s in settings for e in s.tests.matched} - {OURS, PLAIN})
    over = {name: [difference for s in settings for difference in s.over_plain(name)] for name in names}
    over = {name: differences for name, differences in over.items() if differences}
    if not over:
        return []
    better = [name for name, differences in over.items() if any(d.verdict == BETTER for d in differences)]
    some = f"{listed(better)} {'is' if len(better) == 1 else 'are'} better than plain LoRA in some comparison"
    answer = f"{within}Of the others {some if better else 'none is better than plain LoRA anywhere'}."
    return [Claim(answer, "; ".join(f"{name} {counted(d, spread=False)}" for name, d in over.items()) + ".")]


def _least(differences: Sequence[Difference]) -> str:
    """What the easiest of the undecided ones would take."""
    plans = [d.plan for d in differences if d.plan]
    return f"; to decide the rest would probably take {str(min(plans)).removeprefix('about ')} or more" if plans else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def basis(settings: Sequence[Setting], margin: float) -> str:
    """How it was measured."""
    protocols = " and ".join(dict.fromkeys(setting.protocol for setting in settings))
    seeds = sorted({len(entry.seeds) for setting in settings for entry in setting.tests.matched})
    counts = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else plural(seeds[0], "seed") if seeds else "no seeds"
    alone = " With one seed nothing is decided: its intervals are over scored rows alone." if seeds[:1] == [1] else ""
    return (
        f"Protocol {protocols or 'none'}; {counts}. Better and worse: significant, corrected for so many methods. "
        f"Equivalent: within {plural(margin, 'point')}, the margin fixed beforehand. "
        f"Undecided: it takes more seeds or rows.{alone}"
    )


def short(settings: Sequence[Setting], margin: float) -> str:
    """For the terminal: what the records answer, and every setting with its scores."""
    if not settings:
        return "Nothing to compare: no two methods were matched at a budget."
    lines = [f"- {claim.answer} {claim.detail}" for claim in claims(settings)]
    return "\n".join([summary_table(settings).plain(), "", *lines, "", basis(settings, margin)])
