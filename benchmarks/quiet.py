"""Leaving standard error to what the user must know."""

from __future__ import annotations

import logging
import warnings


def quiet() -> None:
    """Silence the progress bars and notes of libraries in this process."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # what it finds wrong with a file is raised too
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("huggingface_hub", "httpx", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
