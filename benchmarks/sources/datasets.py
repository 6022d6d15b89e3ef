"""Rows and pictures of tasks, as their data sets have them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from datasets import Dataset, DatasetBuilder, Image, get_dataset_config_names, load_dataset, load_dataset_builder
from datasets.config import HF_DATASETS_CACHE, REPOCARD_FILENAME, REPOYAML_FILENAME
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import DatasetCard
from pyarrow.parquet import read_metadata

from benchmarks.sources import location
from benchmarks.sources.local_files import task_rows
from benchmarks.sources.location import Location, impatient, readable, unreachable
from benchmarks.suites.spec import Task
from benchmarks.world.forms import world_rows
from mtl_lora.errors import InvalidInput


class Datasets(Location):
    """Loads the rows of tasks: of the hub or a mirror by the id of their data set, of a user's own files, or generated."""

    def rows(self, task: Task, split: str) -> Dataset:
        """The rows of one split of a task's data set."""
        if task.conflict is not None:
            return Dataset.from_list(world_rows(task.config, split, task.conflict))
        if task.local:
            return task_rows(task, task.file(split))
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
        assert where is not None
        if where.config is None:
            rows, columns = self.rows(task, split), where.columns
        else:
            rows, columns = self._configuration(task, where.config, split, where.split.format(split=split)), (where.image,)
            lacking = [name for name in (where.key, where.image) if name not in rows.column_names]
            if lacking:
                raise InvalidInput(f"{self.origin(task, split)}: its pictures have no column {lacking[0]!r}")
        for column in columns:
            kind = rows.features[column]
            if not isinstance(kind, Image) and not (isinstance(kind, dict) and set(kind) == {"bytes", "path"}):
                raise InvalidInput(f"{self.origin(task, split)}: column {column!r} holds no pictures")
            rows = rows.cast_column(column, Image(decode=False))
        return rows

    def _configuration(self, task: Task, config: str, split: str, part: str) -> Dataset:
        """Rows ``part`` of a configuration; ``split`` is what {split} stands for in the names."""
        name, config = task.dataset.format(split=split), config.format(split=split)
        if self.mirror is None:
            return _from_hub(name, config, part, task.revision)
        folder = self.mirrored("datasets", name)
        with readable(f"data set {folder}, {config}, split {part}"):
            _refuse_elsewhere(folder)
            if config not in get_dataset_config_names(str(folder)):
                raise InvalidInput(f"{folder} has no configuration {config!r}, which task {task.name} needs")
            return _prepared(folder, config).as_dataset(split=part)

    def _json_rows(self, task: Task, split: str) -> Dataset:
        where = self.origin(task, split)
        if self.mirror is not None and not Path(where).is_file():
            raise InvalidInput(f"mirror {self.mirror} lacks {where}, which task {task.name} needs")
        try:
            with Path(where).open("rb") if self.mirror else urlopen(where, timeout=location.TIMEOUT) as stream:
                content = stream.read()
        except OSError as error:
            raise unreachable("data set", where, error) from error
        with readable(where):
            rows = json.loads(content)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise InvalidInput(f"{where} is not a JSON list of rows")
            return Dataset.from_list(rows)

    def origin(self, task: Task, split: str) -> str:
        """Where the rows of a split come from, for messages."""
        if task.conflict is not None:
            return f"{task.dataset}, {task.config}, {split}"
        if task.local:
            return str(task.file(split))
        name = task.dataset.format(split=split)
        where = name if self.mirror is None else str(self.mirrored("datasets", name))
        if task.files is None:
            return f"{where}, {task.config.format(split=split)}, {split}"
        file = task.files.format(config=task.config, split=split)
        return f"{where}/{file}" if self.mirror else f"https://raw.githubusercontent.com/{where}/{task.revision}/{file}"


def _from_hub(name: str, config: str, part: str, revision: str) -> Dataset:
    if Path(name).exists():
        raise InvalidInput(f"{name} in the working directory would be read in place of the hub's: run this elsewhere")
    impatient()
    try:
        return load_dataset(name, config, split=part, revision=revision)
    except (OSError, DatasetNotFoundError) as error:
        raise unreachable("data set", name, error) from error
    except ValueError as error:
        raise InvalidInput(f"data set {name}, {config}, split {part}: {error}".splitlines()[0]) from error


def _prepared(folder: Path, config: str) -> DatasetBuilder:
    """A configuration of a folder, all of its splits in the cache."""
    builder = load_dataset_builder(str(folder), config, cache_dir=_cache(folder))
    for file in (file for files in builder.config.data_files.values() for file in files):
        if file.endswith(".parquet") and not read_metadata(file).num_rows:
            raise InvalidInput(f"{file} is empty")
    builder.download_and_prepare()
    return builder


def _refuse_elsewhere(folder: Path) -> None:
    """InvalidInput where the card of a data set names files that are not in its folder: the network, or others' files."""
    if (folder / REPOYAML_FILENAME).exists():
        raise InvalidInput(f"{folder / REPOYAML_FILENAME} is not read: {REPOCARD_FILENAME} says which files a data set has")
    card = folder / REPOCARD_FILENAME
    for text in _texts(DatasetCard.load(card).data.to_dict().get("configs") if card.is_file() else None):
        if "://" in text or text.startswith(("/", "~")) or ".." in Path(text).parts:
            raise InvalidInput(f"the card of {folder} names data outside its folder: {text}")


def _texts(value: object) -> Iterator[str]:
    """Every text within a value of a card."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _cache(folder: Path) -> str:
    """A cache of its own for each state of a folder.

    datasets tells folders apart by their cards alone, so that files that changed would be read as they were before.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return str(Path(HF_DATASETS_CACHE) / "folders" / hashlib.sha256(repr(state).encode()).hexdigest()[:16])
