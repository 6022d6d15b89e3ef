"""The world's encoder: a tiny BERT whose input may hold a picture, one token a patch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.world.language import COLOURS, DIMENSIONS, KINDS, PEOPLE, PLACES, READERS, SHAPES, VALUES
from benchmarks.world.pictures import CELL, GRID

FOLDER = Path(__file__).parent / "world-encoder"
PATCH = "[PATCH]"
PATCHES = GRID * GRID
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", PATCH)
OTHER_WORDS = """
    the a is it are has saw says sells lives there something toy thing by for in of and but not or to who what which
    where was world : . , ? first second third find buy caption
""".split()  # noqa: SIM905


class WorldConfig(BertConfig):
    """A BERT's configuration; the patches have their own size."""

    model_type = "world-encoder"
    patch_values: int = CELL * CELL * 3
    patch_token: int = SPECIAL.index(PATCH)


class WorldEncoder(PreTrainedModel):
    """Text, with pictures in front. Wherever input_ids has the patch token, the next patch of ``pictures`` is read."""

    config_class = WorldConfig
    base_model_prefix = ""

    def __init__(self, config: WorldConfig) -> None:
        super().__init__(config)
        self.text = BertModel(config, add_pooling_layer=False)
        self.patches = nn.Linear(config.patch_values, config.hidden_size)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, pictures: Tensor | None = None, **kwargs
    ) -> object:
        """input_ids, attention_mask (b, s); pictures (those samples that have one, patches, values)."""
        embedded = self.text.embeddings.word_embeddings(input_ids)
        if pictures is not None:
            here = (input_ids == self.config.patch_token)[:, :, None]
            embedded = embedded.masked_scatter(here, self.patches(pictures).to(embedded.dtype))
        return self.text(inputs_embeds=embedded, attention_mask=attention_mask, **kwargs)


AutoConfig.register(WorldConfig.model_type, WorldConfig)
AutoModel.register(WorldConfig, WorldEncoder)


def vocabulary() -> list[str]:
    """Every token; a token's id is its place."""
    words = [*OTHER_WORDS, *DIMENSIONS, *VALUES, *KINDS, *COLOURS, *SHAPES, *PEOPLE, *PLACES, *READERS]
    return [*SPECIAL, *words]


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ids = {token: i for i, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=[PATCH], **names)


def new_encoder(seed: int) -> WorldEncoder:
    """The encoder before pretraining."""
    torch.manual_seed(seed)
    config = WorldConfig(
        vocab_size=len(vocabulary()),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    encoder = WorldEncoder(config)
    # As long as word vectors are at their start: longer ones would drown where in the picture a patch lies.
    nn.init.normal_(encoder.patches.weight, std=0.003)
    return encoder
