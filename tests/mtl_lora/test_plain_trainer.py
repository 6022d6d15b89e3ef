"""An adapted model in the plain Trainer of transformers, and the notebook that shows the library."""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_models import LLAMA_TARGETS, TASKS, tiny_llama, tokens
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from mtl_lora import AdaptedModel, MTLLoRA, save_trained

NOTEBOOK = Path(__file__).parents[2] / "examples" / "adapters.ipynb"


def tied_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(type(tiny_llama().config)(**{**tiny_llama().config.to_dict(), "tie_word_embeddings": True}))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    return model.eval()


def adapted() -> AdaptedModel:
    return AdaptedModel(tied_llama(), MTLLoRA(rank=4), TASKS, LLAMA_TARGETS)


def logits(model: AdaptedModel) -> torch.Tensor:
    return model.eval()(tokens(), task_ids=[0, 1, 2, 0, 1, 2]).logits


def test_a_step_of_the_plain_trainer_its_checkpoint_and_what_was_trained(tmp_path: Path) -> None:
    rows = {"input_ids": tokens().tolist(), "labels": tokens().tolist(), "task_ids": [0, 1, 2, 0, 1, 2], "note": ["x"] * 6}
    arguments = TrainingArguments(
        tmp_path, max_steps=2, per_device_train_batch_size=6, save_steps=1, learning_rate=0.1, report_to=[], use_cpu=True
    )
    model, start = adapted(), logits(adapted())
    trainer = Trainer(model, arguments, train_dataset=Dataset.from_dict(rows))
    assert set(trainer._remove_unused_columns(trainer.train_dataset).column_names) == {"input_ids", "labels", "task_ids"}
    trainer.train()
    trained = logits(model)
    assert not torch.allclose(trained, start)
    assert all(torch.equal(p, q) for p, q in zip(tied_llama().parameters(), _base(model), strict=True))

    resumed = adapted()
    Trainer(resumed, arguments, train_dataset=Dataset.from_dict(rows)).train(
        resume_from_checkpoint=tmp_path / "checkpoint-1"
    )
    torch.testing.assert_close(logits(resumed), trained)
    save_trained(model, tmp_path / "file")
    torch.testing.assert_close(logits(AdaptedModel.from_trained(tied_llama(), tmp_path / "file")), trained)


def _base(model: AdaptedModel) -> list[torch.Tensor]:
    adapters = {id(p) for p in model.adapter_parameters().values()}
    return [p for p in model.parameters() if id(p) not in adapters]


def test_a_tied_weight_has_one_name_in_the_state_and_finds_both_again() -> None:
    model, other = adapted(), adapted()
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    assert "base.lm_head.weight" not in state
    other.load_state_dict(state)
    assert torch.equal(other.base.lm_head.weight, model.base.lm_head.weight + 1)
    assert other.base.lm_head.weight is other.base.model.embed_tokens.weight


def test_a_copy_runs_its_own_layers() -> None:
    model = adapted()
    before, twin = logits(model), copy.deepcopy(model)
    assert [*inspect.signature(twin.forward).parameters][-2:] == ["task_ids", "kwargs"]
    torch.nn.init.zeros_(twin.base.lm_head.weight)
    assert not logits(twin).any()
    assert torch.equal(logits(model), before)


def test_the_cells_of_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    shown: dict = {}
    for cell in cells:
        assert not cell["outputs"]
        exec("".join(cell["source"]), shown)
    assert shown["losses"][0] > shown["losses"][-1]
    assert shown["difference"] < 1e-4
    plain, question = LlamaForCausalLM.from_pretrained(tmp_path / "question-model").eval(), ["question"] * 6
    own = shown["model"](shown["input_ids"], task_ids=question).logits
    torch.testing.assert_close(plain(shown["input_ids"]).logits, own, rtol=1e-4, atol=1e-5)
    assert "parameters" in capsys.readouterr().out
