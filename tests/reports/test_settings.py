"""What comparisons are called where they stand side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny_study import study

from reports.evidence.comparison import compare
from reports.evidence.settings import names, settings
from reports.evidence.significance import paired_tests
from reports.overview import basis


def test_a_name_says_no_more_than_tells_comparisons_apart(tmp_path: Path) -> None:
    records = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.5}}).records

    def changed(backbone: str, rate: float) -> list:
        of_all = records[0].config.backbone, records[0].config.recipe
        other = {"backbone": replace(of_all[0], id=backbone), "recipe": replace(of_all[1], learning_rate=rate)}
        return [replace(record, config=replace(record.config, **other)) for record in records]

    found = compare([*changed("a/small", 1e-3), *changed("b/large", 2e-3), *changed("b/large", 3e-3)])
    told = dict(zip(((c.config.backbone.id, c.config.recipe.learning_rate) for c in found), names(found), strict=True))
    assert {key: name.split(", ")[2:] for key, name in told.items()} == {
        ("a/small", 1e-3): ["small"],
        ("b/large", 2e-3): ["large", "learning rate 0.002"],
        ("b/large", 3e-3): ["large", "learning rate 0.003"],
    }
    (alone,) = names(compare(records))
    assert alone == "commonsense, 250 rows per task"


def test_that_one_seed_decides_nothing_is_said_where_there_is_one(tmp_path: Path) -> None:
    def told(folder: str, seeds: int) -> str:
        results = study(tmp_path / folder, {name: dict.fromkeys(range(seeds), 0.5) for name in ("lora", "mtl-lora")})
        comparisons = compare(results.records)
        return basis(settings(comparisons, [paired_tests(c, results, 1.0) for c in comparisons]), 1.0)

    one, three = told("one", 1), told("three", 3)
    assert "; 1 seed." in one and "With one seed nothing is decided" in one
    assert "; 3 seeds." in three and "With one seed" not in three
