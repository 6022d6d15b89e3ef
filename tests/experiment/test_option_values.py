"""Values of options that mean nothing, or something else than they look like: one line each, or what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cli import mtl_lora, run_arguments
from tiny_mirror import CAUSAL, make_mirror
from tiny_pictures import SEQ2SEQ, VISION, make_pictures

from benchmarks.experiment.parsing import parse_conflicts
from mtl_lora import InvalidInput

REFUSED = {
    "full-width budget": (
        ["--budget", "\uff11\uff16\uff15\uff10\uff10"],
        "budget '\uff11\uff16\uff15\uff10\uff10' is neither a number of parameters",
    ),
    "full-width seed": (["--seeds", "\uff10"], "seeds must be different whole numbers"),
    "full-width setting": (["--methods", "mtl-lora:up_projections=\uff12"], "up_projections must be of the kind of 3"),
    "no budget": (["--budget", ""], "a name is missing in ''"),
    "half a budget": (["--budget", "16500,"], "a name is missing in '16500,'"),
    "no task": (["--tasks", ""], "a name is missing in ''"),
    "no method": (["--methods", ""], "a name is missing in ''"),
    "no seed": (["--seeds", ""], "seeds must be different whole numbers"),
    "no answer mode": (["--answer", ""], "unknown answer mode ''"),
    "no preset": (["--preset", ""], "unknown preset ''"),
    "no precision": (["--precision", ""], "unknown precision ''"),
    "no targets": (["--targets", ""], "a name is missing in ''"),
    "no backbone": (["--backbone", ""], "lacks models/"),
    "dropout": (["--methods", "lora:dropout=2"], r"lora: dropout must be in [0, 1), not 2.0"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


def refused(arguments: list, capfd: pytest.CaptureFixture) -> str:
    """The one line with which the command line refuses."""
    assert mtl_lora(*arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_mean_nothing(case: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    wrong, message = REFUSED[case]
    assert message in refused(["plan", *run_arguments(tiny, tmp_path, *wrong)[1:]], capfd)


def test_no_conflict_is_no_conflict_whatever_its_sign() -> None:
    assert str(parse_conflicts("-0,1")) == "[0.0, 1.0]"
    with pytest.raises(InvalidInput, match="conflicts must be different"):
        parse_conflicts("0,-0")


@pytest.mark.parametrize("end", ["9999999", "-5", "65"])
def test_the_end_of_answers_is_a_token(end: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    vision = ["--answer", f"vision-language:vision={VISION}:grid=2:end={end}", "--features", tmp_path / "features"]
    model = ["--backbone", SEQ2SEQ, "--targets", "q_proj", "--budget", "2600", "--max-length", "20", "--methods", "lora"]
    line = refused(["plan", "image-text", "--tasks", "shapes", "--mirror", tiny, *vision, *model], capfd)
    assert f"end must be one of the 65 tokens of {SEQ2SEQ}, from 0 on, or -1: not {end}" in line


@pytest.mark.parametrize("protocol", ["matched", "paper"])
def test_a_plan_says_what_its_protocol_holds_alike(
    protocol: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--preset", "paper", "--backbone", CAUSAL, "--tasks", "piqa", "--methods", "lora,mtl-lora"]
    options += ["--mirror", tiny, "--results", tmp_path, "--protocol", protocol, "--max-length", "64"]
    assert mtl_lora("plan", "commonsense", *options, *(["--budget", "9000"] if protocol == "matched" else [])) == 0
    shown = capsys.readouterr().out
    table = {
        line.split()[0]: line.split() for line in shown.splitlines() if line.startswith(("method ", "lora ", "mtl-lora "))
    }
    assert ("as many adapter parameters" in shown) == (protocol == "matched")
    if protocol == "paper":
        assert "rank 8: parameters, rates, warm-ups and lengths differ" in shown
        assert table["lora"][-5:-2] == ["0.0002", "0.03", "512"] and table["mtl-lora"][-5:-2] == ["0.0003", "0.01", "256"]
        assert table["lora"][4] == "+0.0%" and float(table["mtl-lora"][4].strip("+%")) > 50
