"""Where worker processes come from: forks of one that has imported all they need. Light: to be called first of all."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, util
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

ATTEMPTS = 5
PAUSE_SECONDS = 0.2
# What libraries read once, when they are imported.
SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",  # of numpy and the like; of torch each worker says how many it uses
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",  # of what is left of workers that were killed
}
SOCKETS = "MTL_LORA_SOCKETS"  # where a server finds the folder of its sockets
if _sockets := os.environ.get(SOCKETS):  # in a server alone, which outlives a process that is killed before it can tidy up
    atexit.register(shutil.rmtree, _sockets, ignore_errors=True)


def fork_server() -> ForkServerContext:
    """The context whose processes are forks of a server; starts it where it does not run yet.

    It imports what workers need, which takes seconds, while the process that asked for it goes on.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.engines.local"])
    with surrounded_by(SURROUNDINGS | {SOCKETS: util.get_temp_dir()}):
        forkserver.ensure_running()
    return context


def start_fork(process: BaseProcess) -> None:
    """Start a process of :func:`fork_server`; where the server is killed at this very moment, by the next one."""
    for _ in range(ATTEMPTS):
        try:
            fork_server()
            process.start()
        except (EOFError, ConnectionError) as error:
            killed = error
            time.sleep(PAUSE_SECONDS)  # until the system says that it has ended
        else:
            return
    raise killed


@contextmanager
def surrounded_by(changes: dict[str, str]) -> Iterator[None]:
    """What a process that is started inside finds in its environment."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
