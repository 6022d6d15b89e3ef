"""Whose rows a layer is given is proven before a mixed batch is answered; otherwise one line refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_models import TASKS, adapted_llama, randomise_adapters, tiny_bert, tiny_llama, tokens
from torch import Tensor, nn

from baselines.lora import LoRA
from mtl_lora import AdaptedModel, InvalidInput, Method, MTLLoRA

IDS = torch.tensor([0, 1, 2, 0])


def each_token(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)


def flattened(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.flatten(0, 1)).view_as(x)


def windows(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.unflatten(1, (-1, 2)).flatten(0, 1)).view_as(x)


def first_token(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x[:, 0])[:, None] + x


def sequence_first(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.transpose(0, 1)).transpose(0, 1)


def flattened_sequence_first(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.transpose(0, 1).flatten(0, 1)).unflatten(0, (x.shape[1], -1)).transpose(0, 1)


def chosen_tokens(layer: nn.Module, x: Tensor) -> Tensor:
    """As experts do: the tokens of a number above the median, which some samples have more of than others."""
    rows = x.flatten(0, 1)
    chosen = (rows[:, 0] > rows[:, 0].median()).nonzero()[:, 0]
    return rows.index_add(0, chosen, layer(rows[chosen])).view_as(x)


def shared_table(layer: nn.Module, x: Tensor) -> Tensor:
    """As relative positions: rows that belong to no sample."""
    return layer(x) + layer(torch.linspace(-1, 1, 64).view(1, 8, 8)).mean(1, keepdim=True)


class Toy(nn.Module):
    """One layer after dropout, called in a way that decides which rows are whose. x: (samples, tokens, 8)."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.dropout, self.call, self.passes = nn.Linear(8, 8), nn.Dropout(0.5), call, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.call(self.layer, self.dropout(x))


def adapted(call: Callable[[nn.Module, Tensor], Tensor], method: Method) -> AdaptedModel:
    return randomise_adapters(AdaptedModel(Toy(call).eval(), method, TASKS, ["layer"]))


def numbers(samples: int = 4, length: int = 8) -> Tensor:
    return torch.randn(samples, length, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("call", [each_token, flattened, windows, first_token])
def test_where_samples_come_first_a_mixed_batch_equals_each_sample_alone(method: Method, call) -> None:
    model = adapted(call, method)
    mixed = model(numbers(), task_ids=IDS)
    for i, task in enumerate(IDS):
        torch.testing.assert_close(mixed[i], model(numbers()[i : i + 1], task_ids=task[None])[0])


@pytest.mark.parametrize("length", [4, 8])
@pytest.mark.parametrize("call", [sequence_first, flattened_sequence_first, chosen_tokens, shared_table])
def test_where_they_do_not_a_mixed_batch_is_refused_and_one_of_one_task_is_right(folding: Method, call, length: int) -> None:
    model, x = adapted(call, folding), numbers(length=length)
    if next(model.layers())[1].factors().core is not None:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="layer is not given the rows of one sample after another, so one batch"):
                model(x, task_ids=IDS)
    of_one_task = model(x, task_ids=[2] * 4)
    torch.testing.assert_close(of_one_task, model.unload(TASKS[2])(x))


def test_proving_takes_two_passes_once_and_disturbs_nothing() -> None:
    model = adapted(each_token, MTLLoRA(rank=2)).train()
    model.base.layer.eval()
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append((model(numbers(), task_ids=IDS), torch.rand(1)))
    assert model.base.passes == 4
    assert model.training and model.base.dropout.training and not model.base.layer.training
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    assert not torch.equal(model(numbers(), task_ids=IDS), model.eval()(numbers(), task_ids=IDS))  # dropout acts


def test_padding_that_is_nan_proves_nothing_wrong() -> None:
    x = numbers()
    x[1, 2:] = torch.nan
    adapted(each_token, MTLLoRA(rank=2))(x, task_ids=IDS)
    with pytest.raises(InvalidInput, match="layer is not given the rows of one sample after another"):
        adapted(sequence_first, MTLLoRA(rank=2))(x, task_ids=IDS)


def test_one_row_a_sample_proves_nothing_of_several() -> None:
    model = adapted(flattened_sequence_first, MTLLoRA(rank=2))
    model(numbers(length=1), task_ids=IDS)
    with pytest.raises(InvalidInput, match="layer is not given the rows of one sample after another"):
        model(numbers(), task_ids=IDS)


def test_rows_that_were_in_order_by_chance_are_looked_at_again() -> None:
    model, x = adapted(chosen_tokens, MTLLoRA(rank=2)), numbers(length=4)
    x[:, :2, 0], x[:, 2:, 0] = 1, 0  # the median is 0 and two tokens of every sample are chosen
    mixed = model(x, task_ids=IDS)
    torch.testing.assert_close(mixed[1], model(x[1:2], task_ids=IDS[1:2])[0])
    x[0, :, 0], x[1:, 1, 0] = 1, 0  # four and three times one: no longer a multiple
    with pytest.raises(InvalidInput, match="layer is not given the rows of one sample after another"):
        model(x, task_ids=IDS)
    x[1, :, 0], x[2:, :, 0] = 0, 0  # four of the first sample: a multiple, but not in order
    with pytest.raises(InvalidInput, match="layer is not given the rows of one sample after another"):
        model(x, task_ids=IDS)


def test_methods_without_tasks_prove_nothing() -> None:
    model = adapted(sequence_first, LoRA(rank=2))
    model(numbers(), task_ids=IDS)
    assert model.base.passes == 1


def test_samples_that_are_all_alike_do_not_show_which_rows_are_whose() -> None:
    alike, model = torch.full((6, 5), 7), adapted_llama(MTLLoRA(rank=4))
    with pytest.raises(InvalidInput, match=r"all rows given to .*_proj are alike, so whose they are cannot be told"):
        model(alike, task_ids=[0, 1, 2, 0, 1, 2])
    model(tokens(), task_ids=[0, 1, 2, 0, 1, 2])
    model(alike, task_ids=[0, 1, 2, 0, 1, 2])


def test_the_same_text_for_every_task_is_enough() -> None:
    model = adapted_llama(MTLLoRA(rank=4))
    outputs = model(tokens(1).expand(3, -1), task_ids=[0, 1, 2]).logits
    for task in range(3):
        torch.testing.assert_close(outputs[task], model(tokens(1), task_ids=[task]).logits[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make, target", [(tiny_bert, "query"), (tiny_llama, "q_proj")])
def test_half_precision_hides_nothing(make: Callable[[], nn.Module], target: str, dtype: torch.dtype) -> None:
    model = AdaptedModel(make().to(dtype), MTLLoRA(rank=4), TASKS, [target])
    model(tokens(), task_ids=[0, 1, 2, 0, 1, 2])
    assert all(model.context.proven[name] == {3: {5}} for name, _ in model.layers())


def test_a_part_of_the_model_called_past_it_is_refused_until_the_model_has_shown_its_rows() -> None:
    model = adapted_llama(MTLLoRA(rank=4))
    with (
        pytest.raises(InvalidInput, match=r"not known whose rows .*_proj was given: call the adapted model itself"),
        model.use_tasks([0, 1, 2, 0, 1, 2]),
    ):
        model.base.model(tokens())
    expected = model(tokens(), task_ids=[0, 1, 2, 0, 1, 2], output_hidden_states=True).hidden_states[-1]
    with model.use_tasks([0, 1, 2, 0, 1, 2]):
        torch.testing.assert_close(model.base.model(tokens())[0], expected)


class Reads(nn.Module):
    """Computes with the weight of a layer that it never calls; calls the other one, whose dtype it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.read = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.called(x.to(self.called.weight.dtype)) @ self.read.weight.T


def test_a_layer_that_is_read_and_never_called_is_refused(method: Method) -> None:
    model = AdaptedModel(Reads(), method, TASKS, ["all-linear"])
    with pytest.raises(InvalidInput, match="the model reads the weight of read and does not call it, so an adapter"):
        model(numbers(), task_ids=IDS)
    AdaptedModel(Reads(), method, TASKS, ["called"])(numbers(), task_ids=IDS)
