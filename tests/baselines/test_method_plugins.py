"""A method of another installed package, or of a file of one's own: it is a method like any other."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from tiny_mirror import ENCODER, make_mirror
from tiny_plugins import forgotten_plugins

from baselines.lora import LoRA
from benchmarks.plugins import load_plugin
from benchmarks.records.store import RunStore
from benchmarks.training.model import method_source
from mtl_lora import InvalidInput, find_method, register

EXAMPLES = Path(__file__).parents[2] / "examples"

METHOD = """
from dataclasses import dataclass
from typing import ClassVar

from baselines.lora import LoRA
from mtl_lora import register


@register
@dataclass(frozen=True)
class HalfLoRA(LoRA):
    name: ClassVar[str] = "half-lora"
    summary: ClassVar[str] = "LoRA of half the size"

    share: float = 0.5

    @property
    def scaling(self) -> float:
        return self.share * super().scaling
"""
USE = """
from benchmarks.experiment.parsing import parse_methods
from benchmarks.training.model import method_source
from mtl_lora import find_method

beyond, (chosen,) = parse_methods("beyond"), parse_methods("half-lora:share=0.25")
method = find_method(chosen.name)(rank=4, alpha=8, **chosen.settings)
print(method.scaling, "half-lora" in [choice.label for choice in beyond], method_source("half-lora"))
print([choice.label for choice in parse_methods("all")])
"""


def in_a_process(package: Path, *arguments: str) -> list[str]:
    """The lines that Python prints with that package installed."""
    path = os.pathsep.join([str(package), str(Path(__file__).parents[2])])
    command, environment = [sys.executable, *arguments], os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder of one installed package with a method."""
    (tmp_path / "half_lora.py").write_text(METHOD)
    about = tmp_path / "half_lora-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: half-lora\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mtl_lora.methods]\nhalf-lora = half_lora\n")
    return tmp_path


@pytest.mark.slow
def test_a_method_of_another_package_is_parsed_made_and_hashed_as_others_are(package: Path) -> None:
    used, paper = in_a_process(package, "-c", USE)
    assert used.split() == ["0.5", "True", hashlib.sha256((package / "half_lora.py").read_bytes()).hexdigest()]
    assert paper == "['lora', 'dora', 'multilora', 'moelora', 'mtl-lora']"


def test_it_is_listed_among_those_beyond_the_paper_without_being_loaded(package: Path) -> None:
    show = "import sys; from benchmarks.cli import app; app(['list'], standalone_mode=False); print('torch' in sys.modules)"
    *lines, loaded = in_a_process(package, "-c", show)
    heading = next(i for i, line in enumerate(lines) if line.startswith("methods beyond the paper"))
    (place,) = [i for i, line in enumerate(lines) if line.startswith("  half-lora ")]
    assert heading < place < lines.index("answer modes") and lines[place].endswith(
        "LoRA of half the size; settings share=0.5"
    )
    assert loaded == "False"


@pytest.mark.slow
def test_a_file_of_ones_own_is_imported_by_worker_processes(tmp_path: Path) -> None:
    """Two runs at a time: what workers are sent holds a method that only the file defines."""
    model = make_mirror(tmp_path) / "models" / ENCODER
    study = [EXAMPLES / "shop.yaml", "--plugin", EXAMPLES / "task_scaled_lora.py", "--methods", "task-scaled-lora"]
    small = ["--backbone", model, "--targets", "query,value", "--rank", "2", "--epochs", "1", "--precision", "float32"]
    command = [sys.executable, "-m", "benchmarks.cli", "run", *study, *small, "--seeds", "0,1", "--workers", "2"]
    subprocess.run([*map(str, command), "--results", str(tmp_path)], check=True, capture_output=True)
    assert {record.config.method.name for record in RunStore(tmp_path).finished()} == {"task-scaled-lora"}
    assert len(RunStore(tmp_path).finished()) == 2


def test_nodes_of_a_cluster_get_its_content() -> None:
    """Of two files of one name too."""
    names = ["half-lora-of-a-node", "another-of-it"]
    contents = [METHOD.replace("half-lora", name).encode() for name in names]
    with forgotten_plugins():
        pytest.importorskip("benchmarks.engines.ray_node")._load(tuple(("half.py", content) for content in contents))
        assert [*map(method_source, names)] == [hashlib.sha256(content).hexdigest() for content in contents]


WRONG = {
    "of another name": ("x.txt", METHOD, "x.txt is not a Python file"),
    "a mistake": ("x.py", "import os\n\nos.nothing", "x.py, line 3: AttributeError: module 'os' has no attribute 'nothing'"),
    "no Python": ("x.py", "def f(:", "x.py, line 1: SyntaxError: "),
    "a name that is taken": ("x.py", METHOD.replace("half-lora", "lora"), "has the name of one of baselines.lora"),
    "a part of a method": (
        "x.py",
        "from mtl_lora import Method, register\n\n@register\nclass Mine(Method):\n    name = 'mine'\n",
        "lacks factors, initialise, shapes, summary",
    ),
}


@pytest.mark.parametrize(("name", "content", "said"), WRONG.values(), ids=WRONG)
def test_a_file_that_cannot_be_imported_is_refused_in_one_line(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput) as refused:
        load_plugin(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value) and said in str(refused.value) and "\n" not in str(refused.value)


def test_a_name_that_another_method_has_is_refused() -> None:
    @dataclass(frozen=True)
    class Other(LoRA):
        name: ClassVar[str] = "lora"

    with pytest.raises(InvalidInput, match=r"method lora of .*test_method_plugins has the name of one of baselines\.lora"):
        register(Other)
    assert find_method("lora") is LoRA
