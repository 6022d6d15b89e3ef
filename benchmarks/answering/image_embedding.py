"""Pictures in front of a text: features of a frozen vision model, projected to vectors that a language model reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_lora.layer import generator

MOST = 2  # pictures that a sample may have


class PictureEmbedding(nn.Module):
    """Vectors (b, pictures * grid ** 2, width) from features (b, pictures, grid ** 2, features).

    LayerNorm(W f) + LayerNorm(V p) + o: of the features f of a part of a picture, of where it lies, p = (left, top, right,
    bottom, area) in units of the picture, and of the picture's place among those of the sample. This is the visual embedding
    of VL-T5 (Cho et al., 2021), which VL-BART keeps, without its embedding of the object's number; and f is standardised
    here: of raw features the part that all pictures share, and a few wide entries, hide what tells pictures apart.
    """

    boxes: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, grid: int, width: int, seed: int) -> None:
        super().__init__()
        self.content = nn.Linear(features, width)
        self.content_norm = nn.LayerNorm(width)
        self.place = nn.Linear(5, width)
        self.place_norm = nn.LayerNorm(width)
        self.order = nn.Embedding(MOST, width)
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            random = generator(seed, "pictures", name)
            if name.startswith("order"):
                nn.init.normal_(parameter, generator=random)
            elif "norm" not in name:  # the start of nn.Linear
                bound = (features if name.startswith("content") else 5) ** -0.5
                nn.init.uniform_(parameter, -bound, bound, generator=random)
        low = torch.arange(grid) / grid
        top, left = low.repeat_interleave(grid), low.repeat(grid)
        boxes = torch.stack([left, top, left + 1 / grid, top + 1 / grid, torch.full_like(left, grid**-2)], dim=1)
        self.register_buffer("boxes", boxes, persistent=False)
        self.register_buffer("mean", torch.zeros(features))  # of the features that training pictures have
        self.register_buffer("deviation", torch.ones(features))

    def forward(self, features: Tensor) -> Tensor:
        content = self.content_norm(self.content((features - self.mean) / self.deviation))
        place = self.place_norm(self.place(self.boxes))
        order = self.order.weight[: features.shape[1], None]
        return (content + place + order).flatten(1, 2)

    @staticmethod
    def count(features: int, width: int) -> int:
        """The number of its parameters."""
        return width * (features + 5 + 2 + 2 * 2 + MOST)
