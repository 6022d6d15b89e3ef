"""How counts and times are told."""

from __future__ import annotations

import pytest

from benchmarks.words import about, plural, to_go


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 runs"), (1, "1 run"), (1.0, "1 run"), (0.5, "0.5 runs"), (2, "2 runs"), (1_234_567, "1,234,567 runs")],
)
def test_one_is_not_many(count: float, told: str) -> None:
    assert plural(count, "run") == told


def test_what_takes_no_time_is_not_about_0_s() -> None:
    assert (about(0.3), about(42), about(3600)) == ("less than a second", "about 42 s", "about 1 h 00 min")
    left = [to_go(seconds) for seconds in (None, 0, 0.3, 303)]
    assert left == ["", "", ", less than a second to go", ", about 5 min 03 s to go"]
