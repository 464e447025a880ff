"""The modality encoder: a CLIP vision transformer that embeds only the patches it is asked to look at.

Legend: B batch, C channels (3), P patches, M kept patches, D width, E embedding_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raybind.model.architecture import VisionArchitecture
from raybind.model.transformer import LAYER_NORM_EPS, Block, init_blocks


class PatchEmbedding(nn.Module):
    """The patch convolution, applied to patches that are already cut out."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.weight = nn.Parameter(torch.empty(width, 3, patch_size, patch_size))

    def cut(self, pixel_values_BCHW: Tensor) -> Tensor:
        """(B, P, 3 * patch_size²): the patches row by row, each flattened in the kernel's order."""
        size = self.patch_size
        x = pixel_values_BCHW.unflatten(2, (-1, size)).unflatten(4, (-1, size))
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def forward(self, patches_BMK: Tensor) -> Tensor:
        """Embed M flattened patches. Returns (B, M, D)."""
        return F.linear(patches_BMK, self.weight.flatten(1))


class VisionTransformer(nn.Module):
    """Patches -> transformer -> normalised class token (LanguageBind, Sec. 3.1)."""

    def __init__(self, arch: VisionArchitecture) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(arch.patch_size, arch.width)
        self.class_embedding = nn.Parameter(torch.empty(arch.width))
        self.position_embedding = nn.Parameter(torch.empty(1 + arch.num_patches, arch.width))
        self.pre_layernorm = nn.LayerNorm(arch.width, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList(
            Block(arch.width, arch.num_heads, arch.mlp_width, arch.activation) for _ in range(arch.num_layers)
        )
        self.post_layernorm = nn.LayerNorm(arch.width, eps=LAYER_NORM_EPS)

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts."""
        width = self.class_embedding.shape[0]
        fan_in = self.patch_embedding.weight[0].numel()
        nn.init.normal_(self.patch_embedding.weight, std=fan_in**-0.5)
        nn.init.normal_(self.class_embedding, std=width**-0.5)
        nn.init.normal_(self.position_embedding, std=width**-0.5)
        init_blocks(self.layers, width)

    def forward(self, pixel_values_BCHW: Tensor, kept_BM: Tensor | None = None) -> Tensor:
        """Encode an image.

        Masked patches are never embedded: the kept ones are gathered first, and each gets its own position embedding,
        which equals Eq. (1).

        Args:
            pixel_values_BCHW: normalised pixels, height and width as the architecture's.
            kept_BM: int64, numbers of the patches to look at, row-major; None looks at all.
        Returns: (B, D), the class token after the last layer norm.
        """
        patches = self.patch_embedding.cut(pixel_values_BCHW)
        positions = self.position_embedding[1:]
        if kept_BM is not None:
            patches = patches.gather(1, kept_BM.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
            positions = positions[kept_BM]
        tokens_BMD = self.patch_embedding(patches) + positions
        class_token = (self.class_embedding + self.position_embedding[0]).expand(len(tokens_BMD), 1, -1)
        x = self.pre_layernorm(torch.cat([class_token.to(tokens_BMD.dtype), tokens_BMD], dim=1))
        for layer in self.layers:
            x = layer(x)
        return self.post_layernorm(x[:, 0])


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

    def forward(self, pixel_values_BCHW: Tensor, kept_BM: Tensor | None = None) -> Tensor:
        """Returns (B, E) unit-norm embeddings, float32."""
        projected = self.visual_projection(self.vision(pixel_values_BCHW, kept_BM))
        return F.normalize(projected.float(), dim=-1)
