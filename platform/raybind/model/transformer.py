"""The pre-norm transformer both CLIP towers are made of.

Query, key, value and output projections are separate linear layers (as in Hugging Face CLIP), so that LoRA gives each
its own A and B; open_clip packs q, k and v into one tensor and is mapped in `model/base.py`.

Legend: B batch, N tokens, Q queries, D width, H heads, T frames of a clip, R rows (B * T, clip by clip, frame by
frame).
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

    def forward(self, x_BND: Tensor, causal: bool = False, num_queries: int | None = None) -> Tensor:
        """Attend over the N tokens.

        Args:
            causal: token i sees tokens up to i only.
            num_queries: the first tokens alone ask, Q of them; None: all.
        Returns: (B, Q, D).
        """
        asking = x_BND[:, :num_queries]
        q, k, v = self._split(self.q_proj(asking)), self._split(self.k_proj(x_BND)), self._split(self.v_proj(x_BND))
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

    def forward(self, x_BND: Tensor, causal: bool = False, num_queries: int | None = None) -> Tensor:
        """Returns (B, Q, D), the first `num_queries` tokens; None: all N of them."""
        x_BQD = x_BND[:, :num_queries] + self.self_attn(self.layer_norm1(x_BND), causal, num_queries)
        return x_BQD + self.mlp(self.layer_norm2(x_BQD))


class TemporalBlock(Block):
    """A block that first attends over the frames of a clip: each token to itself in the other frames.

    `x += temporal_embedding; x += temporal_attention(norm(x))`, then as `Block`; the class token takes part
    (LanguageBind, Sec. 3.1; official code).
    """

    def __init__(self, width: int, num_heads: int, mlp_width: int, activation: str, num_frames: int) -> None:
        super().__init__(width, num_heads, mlp_width, activation)
        self.num_frames = num_frames
        self.temporal_embedding = nn.Parameter(torch.empty(num_frames, width))
        self.temporal_layer_norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.temporal_attn = Attention(width, num_heads)

    def forward(self, x_RND: Tensor, causal: bool = False, num_queries: int | None = None) -> Tensor:
        """`causal` and `num_queries` are about tokens, not frames. Returns (R, Q, D)."""
        over_frames = x_RND.unflatten(0, (-1, self.num_frames)).transpose(1, 2)
        x = over_frames.flatten(0, 1) + self.temporal_embedding
        x = x + self.temporal_attn(self.temporal_layer_norm1(x))
        over_tokens = x.unflatten(0, over_frames.shape[:2]).transpose(1, 2)
        return super().forward(over_tokens.flatten(0, 1), causal, num_queries)


def init_blocks(layers: nn.ModuleList, width: int) -> None:
    """Initialise blocks as OpenAI's CLIP does: residual branches scaled by the depth of the tower."""
    residual_std = width**-0.5 * (2 * len(layers)) ** -0.5
    for block in layers:
        assert isinstance(block, Block)
        _init_attention(block.self_attn, width, residual_std)
        nn.init.normal_(block.mlp.fc1.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(block.mlp.fc2.weight, std=residual_std)
        if isinstance(block, TemporalBlock):
            nn.init.normal_(block.temporal_embedding, std=width**-0.5)
            _init_attention(block.temporal_attn, width, residual_std)


def _init_attention(attention: Attention, width: int, residual_std: float) -> None:
    for proj in (attention.q_proj, attention.k_proj, attention.v_proj):
        nn.init.normal_(proj.weight, std=width**-0.5)
        nn.init.zeros_(proj.bias)
    nn.init.normal_(attention.out_proj.weight, std=residual_std)
    nn.init.zeros_(attention.out_proj.bias)
