"""The script for SLURM does every run once: its jobs are run here one after another."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tiny_cli import mtl_lora, run_arguments

from benchmarks.records.store import RunStore


@pytest.mark.slow
def test_the_jobs_of_a_script_do_every_run_once(tiny: Path, tmp_path: Path) -> None:
    results = tmp_path / "my results"
    more = ["--methods", "lora,heads-only,mtl-lora", "--tasks", "rte,stsb", "--engine=slurm", "--per-job", "2"]
    assert mtl_lora(*run_arguments(tiny, results, *more)) == 0
    script = results / "grid.slurm"
    text = script.read_text()
    subprocess.run(["bash", "-n", script], check=True)
    assert "#SBATCH --array=1-2\n" in text and "#SBATCH --requeue\n" in text
    (command,) = re.findall(r"^exec (.*)$", text, re.MULTILINE)
    assert not {"--engine", "--engine=slurm", "--per-job"} & set(shlex.split(command))
    for job, count in ((1, 2), (2, 3)):
        subprocess.run(["bash", script], check=True, env=os.environ | {"SLURM_ARRAY_TASK_ID": str(job)})
        assert len(RunStore(results).finished()) == count
