"""What ``mtl-lora list`` shows: suites with their tasks and whose data they are, methods, answer modes, presets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from benchmarks.experiment import catalogue
from benchmarks.experiment.methods import beyond, order_for_display
from benchmarks.experiment.presets import PICTURE_PRESETS, PRESETS
from benchmarks.suites import all_suites, find_suite
from benchmarks.suites.credits import Credit, credit_of
from benchmarks.suites.spec import Suite, Task


class ListedTask(TypedDict):
    """A task, with whose data it is made of."""

    name: str
    summary: str
    metrics: list[str]
    licence: str
    citation: str


class ListedSuite(TypedDict):
    """A suite and its tasks."""

    name: str
    summary: str
    tasks: list[ListedTask]


class ListedEntry(TypedDict):
    """A method, an answer mode or a preset; settings with their defaults."""

    name: str
    summary: str
    settings: dict[str, object]


class Listing(TypedDict):
    """All there is to choose from, as ``mtl-lora list --json`` prints it."""

    suites: list[ListedSuite]
    methods: list[ListedEntry]
    methods_beyond_the_paper: list[ListedEntry]
    answer_modes: list[ListedEntry]
    presets: list[ListedEntry]
    presets_for_pictures: list[ListedEntry]


def listing(suite: str | None = None) -> Listing:
    """Everything there is to choose from, without loading torch; of suites one alone, where it is named."""
    methods, modes = catalogue.methods() | catalogue.plugin_methods(), catalogue.answer_modes()
    suites = [find_suite(suite)] if suite is not None else all_suites().values()
    others = beyond(methods)
    return {
        "suites": [_suite(suite) for suite in suites],
        "methods": [_entry(name, *methods[name]) for name in order_for_display(methods) if name not in others],
        "methods_beyond_the_paper": [_entry(name, *methods[name]) for name in others],
        "answer_modes": [_entry(name, *mode) for name, mode in modes.items()],
        "presets": [_entry(preset.name, preset.summary, {}) for preset in PRESETS.values()],
        "presets_for_pictures": [_entry(preset.name, preset.summary, {}) for preset in PICTURE_PRESETS.values()],
    }


def lines(listing: Listing) -> Iterator[str]:
    """The listing for a person; the data of a suite once for tasks that share it."""
    yield "suites"
    for suite in listing["suites"]:
        yield f"  {suite['name']:<14} {suite['summary']}"
        for task in suite["tasks"]:
            yield f"    {task['name']:<16} {task['summary']} [{', '.join(task['metrics'])}]"
        for licence, citation in dict.fromkeys((task["licence"], task["citation"]) for task in suite["tasks"]):
            yield f"    data: {citation}; licence: {licence}"
    entries = (
        ("methods", listing["methods"]),
        ("methods beyond the paper (--methods beyond)", listing["methods_beyond_the_paper"]),
        ("answer modes", listing["answer_modes"]),
        ("presets", listing["presets"]),
        ("presets for suites on pictures", listing["presets_for_pictures"]),
    )
    for title, listed in entries:
        yield title
        for entry in listed:
            settings = ", ".join(f"{name}={value}" for name, value in entry["settings"].items())
            yield f"  {entry['name']:<15} {entry['summary']}{f'; settings {settings}' if settings else ''}"


def _suite(suite: Suite) -> ListedSuite:
    return {"name": suite.name, "summary": suite.summary, "tasks": [_task(task) for task in suite.tasks]}


def _task(task: Task) -> ListedTask:
    credit = credit_of(task) or Credit("not stated", task.dataset or Path(str(task.files)).name)
    return {
        "name": task.name,
        "summary": task.summary,
        "metrics": [*task.metrics],
        "licence": credit.licence,
        "citation": credit.citation,
    }


def _entry(name: str, summary: str, settings: dict[str, object]) -> ListedEntry:
    return {"name": name, "summary": summary, "settings": settings}
