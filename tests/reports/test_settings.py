"""What comparisons are called where they stand side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny_study import study

from reports.evidence.comparison import compare
from reports.evidence.settings import names


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
