"""How counts and times are told."""

from __future__ import annotations


def plural(count: float, noun: str) -> str:
    """A count with its noun: "1 run", "1,200 runs", "0.5 points"."""
    return f"{count:,.10g} {noun}{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """Seconds for a person: "42 s", "5 min 03 s", "2 h 07 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def about(seconds: float) -> str:
    """An estimate: "about 42 s", and never about none."""
    return f"about {duration(seconds)}" if round(seconds) else "less than a second"


def to_go(seconds: float | None) -> str:
    """What follows a count of what is done: ", about 42 s to go"; nothing where nothing is left or nothing tells."""
    return f", {about(seconds)} to go" if seconds else ""
