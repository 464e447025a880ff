"""The language encoder: CLIP's causal text transformer, frozen while a modality is bound to it.

Legend: B batch, L tokens of a text, D width, E embedding_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raybind.model.architecture import TextArchitecture
from raybind.model.transformer import LAYER_NORM_EPS, Block, init_blocks


class GivenEmbeddings(nn.Module):
    """Stands in for a frozen language encoder where the embeddings of texts come with the data."""

    def forward(self, text_BE: Tensor) -> Tensor:
        """Returns: what it is given, (B, E) unit-norm, float32."""
        return text_BE


class LanguageEncoder(nn.Module):
    """Token ids -> unit vector at the end-of-text token (LanguageBind, Sec. 3.2)."""

    def __init__(self, arch: TextArchitecture, embedding_dim: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(arch.vocab_size, arch.width)
        self.position_embedding = nn.Parameter(torch.empty(arch.context_length, arch.width))
        self.layers = nn.ModuleList(
            Block(arch.width, arch.num_heads, arch.mlp_width, arch.activation) for _ in range(arch.num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(arch.width, eps=LAYER_NORM_EPS)
        self.text_projection = nn.Linear(arch.width, embedding_dim, bias=False)

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts, but for two things that let the words be told apart at once.

        Positions start a tenth as large, and what the first attention gathers counts five times. Without these a small
        tower's texts differ by their lengths and places as much as by their words, and pretraining on little data
        settles on the few words that are easily seen.
        """
        width = self.token_embedding.embedding_dim
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.001)
        init_blocks(self.layers, width)
        first = self.layers[0]
        assert isinstance(first, Block)
        with torch.no_grad():
            first.self_attn.out_proj.weight.mul_(5)
        nn.init.normal_(self.text_projection.weight, std=width**-0.5)

    def forward(self, input_ids_BL: Tensor) -> Tensor:
        """Encode texts.

        The end-of-text token has the largest id; the first maximum is pooled, and what follows it is padding that the
        causal mask hides, so columns that are padding in every row are not computed at all.

        Args:
            input_ids_BL: int64, L up to the context length.
        Returns: (B, E) unit-norm embeddings, float32.
        """
        end_B = input_ids_BL.argmax(dim=-1)
        length = int(end_B.max()) + 1
        x = self.token_embedding(input_ids_BL[:, :length]) + self.position_embedding[:length]
        for layer in self.layers:
            x = layer(x, causal=True)
        pooled = self.final_layer_norm(x[torch.arange(len(x), device=x.device), end_B])
        return F.normalize(self.text_projection(pooled).float(), dim=-1)
