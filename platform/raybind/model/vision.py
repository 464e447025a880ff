"""The modality encoder: a CLIP vision transformer that embeds only the patches it is asked to look at.

A clip is encoded frame by frame, with attention over its frames where the architecture has it, and is the mean of its
frames.

Legend: B batch, C channels (3), T frames (1 for what is no clip), R rows (B * T, clip by clip, frame by frame),
P patches of a row, M kept patches, D width, E embedding_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from raybind.errors import DataError
from raybind.model.architecture import VisionArchitecture
from raybind.model.transformer import LAYER_NORM_EPS, Block, TemporalBlock, init_blocks


class PatchEmbedding(nn.Module):
    """The patch convolution, applied to patches that are already cut out."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.weight = nn.Parameter(torch.empty(width, 3, patch_size, patch_size))

    def cut(self, pixel_values_RCHW: Tensor) -> Tensor:
        """(R, P, 3 * patch_size²): the patches row by row, each flattened in the kernel's order."""
        size = self.patch_size
        x = pixel_values_RCHW.unflatten(2, (-1, size)).unflatten(4, (-1, size))
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def forward(self, patches_RMK: Tensor) -> Tensor:
        """Embed M flattened patches. Returns (R, M, D)."""
        return F.linear(patches_RMK, self.weight.flatten(1))


class VisionTransformer(nn.Module):
    """Patches -> transformer -> normalised class token, averaged over frames (LanguageBind, Sec. 3.1)."""

    def __init__(self, arch: VisionArchitecture) -> None:
        super().__init__()
        self.input = arch.input
        self.recompute_blocks = False
        """Whether training keeps each block's input alone and computes the block again in the backward pass."""
        frames = (arch.input.num_frames,) if arch.frame_class_tokens and arch.input.num_frames else ()
        self.patch_embedding = PatchEmbedding(arch.patch_size, arch.width)
        self.class_embedding = nn.Parameter(torch.empty(*frames, arch.width))
        self.position_embedding = nn.Parameter(torch.empty(1 + arch.num_patches, arch.width))
        self.pre_layernorm = nn.LayerNorm(arch.width, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList(_block(arch) for _ in range(arch.num_layers))
        self.post_layernorm = nn.LayerNorm(arch.width, eps=LAYER_NORM_EPS)

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts."""
        width = self.class_embedding.shape[-1]
        fan_in = self.patch_embedding.weight[0].numel()
        nn.init.normal_(self.patch_embedding.weight, std=fan_in**-0.5)
        nn.init.normal_(self.class_embedding, std=width**-0.5)
        nn.init.normal_(self.position_embedding, std=width**-0.5)
        init_blocks(self.layers, width)

    def forward(self, pixel_values: Tensor, kept_BM: Tensor | None = None) -> Tensor:
        """Encode an image or a clip.

        Masked patches are never embedded: the kept ones are gathered first, and each gets its own position embedding,
        which equals Eq. (1).

        Args:
            pixel_values: (B, C, H, W) normalised pixels, or (B, C, T, H, W) of clips; as the architecture's input.
            kept_BM: int64, numbers of the patches to look at, row-major, the same in all frames of a clip; None looks
                at all.
        Returns: (B, D), the class token after the last layer norm, mean over frames.
        Raises: DataError: the input has another shape than the architecture's.
        """
        if pixel_values.shape[1:] != self.input.array:
            raise DataError(
                f"the encoder is built for inputs of shape {self.input.array}, channels first, and got "
                f"{tuple(pixel_values.shape[1:])}; frames and sizes must be those of the configuration",
                cause="wrong input shape",
            )
        x = self.tokens(pixel_values, kept_BM)
        *first, last = self.layers
        for layer in first:
            x = self._through(layer, x)
        # Of the last block nothing but the class token is looked at.
        x = self._through(last, x, num_queries=1)
        pooled_RD = self.post_layernorm(x[:, 0])
        return pooled_RD if self.input.num_frames is None else pooled_RD.unflatten(0, (len(pixel_values), -1)).mean(1)

    def _through(self, block: nn.Module, x: Tensor, num_queries: int | None = None) -> Tensor:
        if self.recompute_blocks and self.training and torch.is_grad_enabled():
            found = checkpoint(block, x, num_queries=num_queries, use_reentrant=False)
            assert isinstance(found, Tensor)
            return found
        return block(x, num_queries=num_queries)

    def tokens(self, pixel_values: Tensor, kept_BM: Tensor | None) -> Tensor:
        """What the blocks get, (R, 1 + M, D): class token and kept patches at their positions, after a layer norm."""
        num_frames = self.input.num_frames or 1
        rows = pixel_values if self.input.num_frames is None else pixel_values.transpose(1, 2).flatten(0, 1)
        patches = self.patch_embedding.cut(rows)
        positions = self.position_embedding[1:]
        if kept_BM is not None:
            kept_RM = kept_BM.repeat_interleave(num_frames, dim=0)
            patches = patches.gather(1, kept_RM.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
            positions = positions[kept_RM]
        tokens_RMD = self.patch_embedding(patches) + positions
        class_tokens = (self.class_embedding + self.position_embedding[0]).expand(len(pixel_values), num_frames, -1)
        class_tokens = class_tokens.flatten(0, 1).unsqueeze(1).to(tokens_RMD.dtype)
        return self.pre_layernorm(torch.cat([class_tokens, tokens_RMD], dim=1))


def _block(arch: VisionArchitecture) -> Block:
    sizes = (arch.width, arch.num_heads, arch.mlp_width, arch.activation)
    if arch.temporal_attention:
        assert arch.input.num_frames is not None
        return TemporalBlock(*sizes, arch.input.num_frames)
    return Block(*sizes)


class ModalityEncoder(nn.Module):
    """Vision transformer and projection: one modality into the shared space."""

    def __init__(self, arch: VisionArchitecture, embedding_dim: int) -> None:
        super().__init__()
        self.vision = VisionTransformer(arch)
        self.visual_projection = nn.Linear(arch.width, embedding_dim, bias=False)

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts."""
        self.vision.init_weights()
        nn.init.normal_(self.visual_projection.weight, std=self.visual_projection.in_features**-0.5)

    def forward(self, pixel_values: Tensor, kept_BM: Tensor | None = None) -> Tensor:
        """Returns (B, E) unit-norm embeddings, float32; see `VisionTransformer.forward`."""
        projected = self.visual_projection(self.vision(pixel_values, kept_BM))
        return F.normalize(projected.float(), dim=-1)
