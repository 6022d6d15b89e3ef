"""A script that does a grid by SLURM, as an array of jobs that do a share of the runs each: to be read, then submitted."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.words import plural

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=mtl-lora
#SBATCH --array=1-{jobs}
#SBATCH --cpus-per-task={cpus}
#SBATCH --output={logs}/%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
# {told}, {each} in each job. Add --gpus-per-task, --time, --partition and --account as your runs and site ask for.
# A job that is preempted or killed goes on from its last checkpoints when it comes again; no run is ever done twice, so
# submitting this again does what is left.
cd {folder}
exec {command} --shard "$SLURM_ARRAY_TASK_ID/{jobs}" --no-wait
"""
OWN = ("--engine", "--per-job", "--shard")  # options of the command that writes the script, not of its jobs


def write_script(path: Path, arguments: Sequence[str], runs: int, each: int, cpus: int) -> None:
    """Write the script, and make the folder ``slurm`` beside it for the logs of its jobs.

    Args:
        path: Of the script, in the folder of results, which all jobs must see.
        arguments: Of the command line that asked for it.
        runs: How many there are.
        each: How many of them a job does.
        cpus: Cores of a job.
    """
    logs = path.parent.resolve() / "slurm"
    logs.mkdir(parents=True, exist_ok=True)
    command = shlex.join([sys.executable, "-m", "benchmarks.cli", *_without_own(arguments)])
    names = {"jobs": -(-runs // each), "told": plural(runs, "run"), "each": each, "cpus": cpus, "command": command}
    path.write_text(SCRIPT.format(**names, logs=shlex.quote(str(logs)), folder=shlex.quote(str(Path.cwd()))))


def _without_own(arguments: Sequence[str]) -> list[str]:
    kept, value = [], False
    for argument in arguments:
        name, given, _ = argument.partition("=")
        if not value and name not in OWN:
            kept.append(argument)
        value = not value and name in OWN and not given
    return kept
