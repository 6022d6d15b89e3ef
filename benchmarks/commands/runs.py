"""``mtl-lora runs ls | show | rm``: runs that have a record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from benchmarks.options import RESULTS, AsJson, Results
from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from benchmarks.records.schema import Record
    from benchmarks.records.store import RunStore

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Runs that have a record.")
Id = Annotated[str, typer.Argument(help="id of a run: the name of its record")]
Ids = Annotated[list[str], typer.Argument(help="ids of runs: the names of their records")]


@app.command("ls")
def list_runs(results: Results = RESULTS, as_json: AsJson = False) -> None:
    """One line for each run: what it is of, and its score or how it ended."""
    from benchmarks.records.store import RunStore

    rows = [_summary(record) for record in sorted(RunStore(results).readable(), key=lambda record: record.created)]
    if as_json:
        print(json.dumps(rows, indent=1))
    elif rows:
        shown = [row | {"score": "" if row["score"] is None else f"{100 * row['score']:.2f}"} for row in rows]
        print(tabulate(shown, headers="keys", disable_numparse=True))


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="id of a run")], results: Results = RESULTS, as_json: AsJson = False
) -> None:
    """What a run was of, and what came out."""
    from benchmarks.records.schema import FailureRecord, to_json
    from benchmarks.records.store import RunStore

    store = RunStore(results)
    record = _find(store, run_id)
    if as_json:
        print(to_json(record), end="")
        return
    for name, value in _summary(record).items():
        print(f"{name:<9} {value}")
    if isinstance(record, FailureRecord):
        print(f"{'step':<9} {record.failure.step}, last losses {', '.join(map(str, record.failure.losses)) or 'none'}")
        print(f"{'traceback':<9} {store.traceback_path(run_id)}")
        return
    print(f"{'trained':<9} {record.parameters.trained:,} parameters in {record.training.seconds:.0f} s")
    print(f"{'command':<9} {record.environment.command}")
    scores = [(task, f"{100 * s.score:.1f}", f"{100 * s.standard_error:.1f}", s.rows) for task, s in record.scores.items()]
    print(tabulate(scores, headers=["task", "score", "standard error", "rows"], disable_numparse=True))


@app.command("rm")
def remove(run_ids: Ids, results: Results = RESULTS) -> None:
    """Remove runs with all that belongs to them, so that the next grid does them again."""
    from benchmarks.records.leases import read_lease
    from benchmarks.records.store import RunStore

    store = RunStore(results)
    for run_id in run_ids:
        _find(store, run_id)
        held = read_lease(store.lease_path(run_id))
        if held is not None and not held.gone:
            raise InvalidInput(f"{run_id} is being done by {held}: it cannot be removed now")
    for run_id in run_ids:
        store.remove(run_id)
        print(f"removed: {run_id}")


def _find(store: RunStore, run_id: str) -> Record:
    record = store.find(run_id) or store.find_failure(run_id)
    if record is None:
        raise InvalidInput(f"{store.folder} has no record of a run {run_id!r}; `mtl-lora runs ls` lists those there are")
    return record


def _summary(record: Record) -> dict[str, str | int | float | None]:
    from benchmarks.records.schema import RunRecord

    return {
        "id": record.id,
        "suite": record.config.suite,
        "run": record.config.title,
        "protocol": record.config.protocol,
        "budget": record.config.budget,
        "status": record.status if isinstance(record, RunRecord) else f"{record.status}: {record.failure.message}",
        "score": record.score if isinstance(record, RunRecord) else None,
        "created": record.created,
    }
