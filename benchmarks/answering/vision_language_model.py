"""The model of questions on pictures: projected features of pictures in front of the text of a language model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.answering.base import TaskModel
from benchmarks.answering.greedy import generated
from benchmarks.answering.image_embedding import PictureEmbedding
from benchmarks.answering.log_likelihood import IGNORED, answer_loss, shifted_right
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel, trained_tensors


class VisionLanguageModel(TaskModel):
    """Pictures, projected, and the prompt -> adapted language model, causal or encoder-decoder -> the words of the answer.

    The projection is trained, and what of the language model is not frozen.
    """

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], pictures: PictureEmbedding) -> None:
        super().__init__(backbone, tasks)
        self.pictures = pictures

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Have features read by their mean and standard deviation (width,) in training."""
        self.pictures.mean.copy_(mean)
        self.pictures.deviation.copy_(deviation)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        task_ids: Tensor,
        features: Tensor,
        shown: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Answers to prompts on pictures.

        Args:
            input_ids: (b, s): prompts, padded on the right.
            attention_mask: Of these.
            task_ids: (b,).
            features: (b, pictures, parts, width).
            shown: (b, pictures): which of the pictures there are.
            labels: (b, a): the tokens of the answers, IGNORED where there is none.

        Returns:
            With labels "loss", the mean over samples of each one's mean over tokens; without "predictions" (b, new tokens),
            generated greedily.
        """
        causal = not self.backbone.config.is_encoder_decoder
        words = self.backbone.base.get_input_embeddings()
        embeds = torch.cat([self.pictures(features).to(words.weight.dtype), words(input_ids)], dim=1)
        mask = torch.cat([shown.repeat_interleave(features.shape[2], dim=1), attention_mask], dim=1)
        # No gap where a picture is absent, and the words of a causal model follow the prompt at once.
        embeds, mask = _packed(embeds, mask, last=causal)
        inputs = {"inputs_embeds": embeds, "attention_mask": mask, "task_ids": task_ids}
        if labels is None:
            return {"predictions": generated(self.backbone, inputs, prefix=0 if causal else 1)}
        if causal:
            inputs["inputs_embeds"] = torch.cat([embeds, words(labels.clamp(min=0))], dim=1)
            inputs["attention_mask"] = torch.cat([mask, (labels != IGNORED).long()], dim=1)
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
            labels = F.pad(labels, (embeds.shape[1] - 1, 1), value=IGNORED)
        else:
            inputs["decoder_input_ids"] = shifted_right(self.backbone, labels)
        return {"loss": answer_loss(self.backbone, labels, **inputs)}

    def head(self, task: Task) -> dict[str, Tensor]:
        """What all tasks have in common besides their adapters: the projection, and biases and norms that are trained."""
        adapters = {id(parameter) for parameter in self.backbone.adapter_parameters().values()}
        return {name: tensor for name, tensor in trained_tensors(self).items() if id(tensor) not in adapters}

    def parameters_by_part(self) -> dict[str, int]:
        """Trained biases and norms count with the heads, not with the base."""
        parts = super().parameters_by_part()
        if self.backbone.method.trains_base:
            return parts
        inside = parts["trained"] - parts["adapter"] - parts["heads"]
        return parts | {"heads": parts["heads"] + inside, "base": parts["base"] - inside}


def _packed(embeds: Tensor, mask: Tensor, last: bool) -> tuple[Tensor, Tensor]:
    """Embeddings (b, s, width) and their mask (b, s) with all padding at the end, or in front of what is read ``last``."""
    order = mask.argsort(dim=1, descending=not last, stable=True)
    return embeds.gather(1, order[:, :, None].expand_as(embeds)), mask.gather(1, order)
