"""Rows and pictures of tasks, as their data sets have them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.request import urlopen

from datasets import Dataset, Image, get_dataset_config_names, load_dataset
from datasets.config import HF_DATASETS_CACHE
from datasets.exceptions import DatasetNotFoundError

from benchmarks.sources.location import Location, first_line, unreachable
from benchmarks.suites.spec import Task
from benchmarks.world.forms import world_rows
from mtl_lora.errors import InvalidInput


class Datasets(Location):
    """Loads the rows of tasks: from the hub or a mirror by the id of their data set, from a file, or generated."""

    def rows(self, task: Task, split: str) -> Dataset:
        """The rows of one split of a task's data set."""
        if task.conflict is not None:
            return world_rows(task.config, split, task.conflict)
        if task.files is not None:
            return self._json_rows(task, split)
        if self.mirror is None and not task.revision:
            raise InvalidInput(
                f"data set {task.dataset} is on no hub: give --mirror DIR with datasets/{task.dataset}, laid out as its "
                "suite in benchmarks/suites says"
            )
        return self._configuration(task, task.config, split, split)

    def picture_rows(self, task: Task, split: str) -> Dataset:
        """The rows that hold the pictures of a split, which may be the task's own; pictures as {"bytes", "path"}."""
        where = task.pictures
        if where.config is None:
            rows, columns = self.rows(task, split), where.columns
        else:
            rows, columns = self._configuration(task, where.config, split, where.split.format(split=split)), (where.image,)
            lacking = [name for name in (where.key, where.image) if name not in rows.column_names]
            if lacking:
                raise InvalidInput(f"{self.origin(task, split)}: its pictures have no column {lacking[0]!r}")
        for column in columns:
            if not isinstance(rows.features[column], Image) and set(rows[0][column]) != {"bytes", "path"}:
                raise InvalidInput(f"{self.origin(task, split)}: column {column!r} holds no pictures")
            rows = rows.cast_column(column, Image(decode=False))
        return rows

    def _configuration(self, task: Task, config: str, split: str, part: str) -> Dataset:
        """Rows ``part`` of a configuration; ``split`` is what {split} stands for in the names."""
        config = config.format(split=split)
        where, revision = self.locate("datasets", task.dataset.format(split=split), task.revision)
        try:
            if self.mirror is not None and config not in get_dataset_config_names(where):
                raise InvalidInput(f"{where} has no configuration {config!r}, which task {task.name} needs")
            return load_dataset(where, config, split=part, revision=revision, cache_dir=_cache(Path(where)))
        except (OSError, DatasetNotFoundError) as error:
            raise unreachable("data set", where, error) from error
        except ValueError as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"data set {where}, {config}, split {part}: {first_line(error)}") from error

    def _json_rows(self, task: Task, split: str) -> Dataset:
        where = self.origin(task, split)
        if self.mirror is not None and not Path(where).is_file():
            raise InvalidInput(f"mirror {self.mirror} lacks {where}, which task {task.name} needs")
        try:
            with Path(where).open("rb") if self.mirror else urlopen(where) as stream:
                rows = json.load(stream)
        except ValueError as error:
            raise InvalidInput(f"{where} is not a JSON list of rows: {first_line(error)}") from error
        except OSError as error:
            raise unreachable("data set", where, error) from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidInput(f"{where} is not a JSON list of rows")
        return Dataset.from_list(rows)

    def origin(self, task: Task, split: str) -> str:
        """Where the rows of a split come from, for messages."""
        if task.conflict is not None:
            return f"{task.dataset}, {task.config}, {split}"
        where, revision = self.locate("datasets", task.dataset.format(split=split), task.revision)
        if task.files is None:
            return f"{where}, {task.config.format(split=split)}, {split}"
        file = task.files.format(config=task.config, split=split)
        return f"{where}/{file}" if self.mirror else f"https://raw.githubusercontent.com/{where}/{revision}/{file}"


def _cache(folder: Path) -> str | None:
    """A cache of its own for each state of a local folder; None for the hub.

    datasets tells folders apart by their cards alone, so that files that changed would be read as they were before.
    """
    if not folder.is_dir():
        return None
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return str(Path(HF_DATASETS_CACHE) / "folders" / hashlib.sha256(repr(state).encode()).hexdigest()[:16])
