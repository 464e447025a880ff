"""The pre-norm transformer both CLIP towers are made of.

Query, key, value and output projections are separate linear layers (as in Hugging Face CLIP), so that LoRA gives each
its own A and B; open_clip packs q, k and v into one tensor and is mapped in `model/open_clip_weights.py`.

Legend: B batch, N tokens, D width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-5


class QuickGELU(nn.Module):
    """The activation of OpenAI's CLIP weights, `x * sigmoid(1.702 x)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it elementwise."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


class Attention(nn.Module):
    """Multi-head self-attention with separate projections."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, causal: bool = False) -> Tensor:
        """Attend over the N tokens; with `causal`, token i sees tokens up to i only. Returns (B, N, D)."""
        q, k, v = (self._split(proj(x_BND)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """The two-layer perceptron of a block."""

    def __init__(self, width: int, hidden_width: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.activation = ACTIVATIONS[activation]()
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        """Returns (B, N, D)."""
        return self.fc2(self.activation(self.fc1(x_BND)))


class Block(nn.Module):
    """`x += attention(norm(x)); x += mlp(norm(x))`."""

    def __init__(self, width: int, num_heads: int, mlp_width: int, activation: str) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.self_attn = Attention(width, num_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(width, mlp_width, activation)

    def forward(self, x_BND: Tensor, causal: bool = False) -> Tensor:
        """Returns (B, N, D)."""
        x_BND = x_BND + self.self_attn(self.layer_norm1(x_BND), causal)
        return x_BND + self.mlp(self.layer_norm2(x_BND))


def init_blocks(layers: nn.ModuleList, width: int) -> None:
    """Initialise blocks as OpenAI's CLIP does: residual branches scaled by the depth of the tower."""
    attention_std = width**-0.5
    residual_std = attention_std * (2 * len(layers)) ** -0.5
    for block in layers:
        assert isinstance(block, Block)
        for proj in (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj):
            nn.init.normal_(proj.weight, std=attention_std)
            nn.init.zeros_(proj.bias)
        nn.init.normal_(block.self_attn.out_proj.weight, std=residual_std)
        nn.init.zeros_(block.self_attn.out_proj.bias)
        nn.init.normal_(block.mlp.fc1.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(block.mlp.fc2.weight, std=residual_std)
