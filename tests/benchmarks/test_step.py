"""One training step beside what a user would write without this platform: a plain loop of torch, Hugging Face's CLIP
and peft, which runs the frozen text tower in every step, as the official code does.

The same sizes, trained parameters and visible patches; weights and media are random, which speed does not depend on.
Each setting has a process of its own; rounds take turns, and the fastest step of each setting counts.

    pytest -s -m bench tests/benchmarks/test_step.py            float32 on two threads of this machine
    PYTHONPATH=platform python tests/benchmarks/test_step.py    bfloat16 on a GPU; needs no ray and no deepspeed
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

from raybind.config.model import ModelConfig
from raybind.config.train import OptimizerConfig
from raybind.model.architecture import ClipArchitecture, encoder_architecture
from raybind.model.bound import BoundModel, apply_tuning
from raybind.model.lora import _AddedLinear
from raybind.model.masking import draw_kept_patches
from raybind.model.vision import VisionTransformer
from raybind.training.batch import Batch
from raybind.training.engine import TorchEngine
from raybind.training.step import train_step

pytestmark = pytest.mark.bench

NUM_ROUNDS, STEPS_PER_ROUND, NUM_THREADS = 2, 5, 2
GIB = 2**30


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    loop: str
    """`ours`, `plain`, or one of `WITHOUT`: ours without one of its savings."""
    architecture: str
    batch: int
    mask_ratio: float = 0.5
    cached_texts: bool = True
    device: str = "cpu"
    recompute_blocks: bool = False


def inputs(setting: Setting, arch: ClipArchitecture) -> Batch:
    """Random media; texts as ids of full length, or as embeddings."""
    vision, text = arch.vision, arch.text
    pixels = torch.randn(setting.batch, *vision.input.array)
    if setting.cached_texts:
        texts = F.normalize(torch.randn(setting.batch, arch.embedding_dim), dim=-1)
    else:
        texts = torch.randint(1, text.vocab_size - 2, (setting.batch, text.context_length))
        texts[:, -1] = text.vocab_size - 1
    generators = [np.random.default_rng(number) for number in range(setting.batch)]
    kept = draw_kept_patches(generators, vision.num_patches, setting.mask_ratio)
    kept_BM = None if kept is None else torch.from_numpy(kept).to(setting.device)
    valid_B = torch.ones(setting.batch, dtype=torch.bool, device=setting.device)
    return Batch(pixels.to(setting.device), texts.to(setting.device), kept_BM, valid_B)


def our_step(setting: Setting) -> tuple[Callable[[], None], ClipArchitecture]:
    """This platform's."""
    config = model_config(setting)
    arch = encoder_architecture(config)
    model = BoundModel(arch, with_language=not setting.cached_texts)
    model.init_weights()
    nn.init.constant_(model.logit_scale, 2.66)
    apply_tuning(model, config)
    model.encoder.vision.recompute_blocks = setting.recompute_blocks
    engine = TorchEngine(model.to(setting.device), OptimizerConfig())
    batch = inputs(setting, arch)
    return lambda: train_step(engine, batch, 1e-4) and None, arch


def plain_step(setting: Setting) -> tuple[Callable[[], None], ClipArchitecture]:
    """What a user would write: patches are masked after the embedding, as the official code does."""
    config = model_config(setting)
    arch = encoder_architecture(config)
    model: Any = CLIPModel(hugging_face_config(arch)).requires_grad_(False)
    if setting.cached_texts:
        del model.text_model
    lora = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=r".*vision_model.*(q_proj|k_proj|v_proj|out_proj)",
    )
    get_peft_model(model, lora)
    vision = model.vision_model
    for part in (vision.post_layernorm, model.visual_projection):
        part.requires_grad_(True)
    vision.embeddings.class_embedding.requires_grad_(True)
    model.logit_scale.requires_grad_(True)
    batch = inputs(setting, arch)
    if batch.kept_BM is not None:
        tokens_BM = torch.cat([torch.zeros_like(batch.kept_BM[:, :1]), batch.kept_BM + 1], dim=1)
        vision.embeddings.register_forward_hook(
            lambda _module, _arguments, x: x.gather(1, tokens_BM.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        )
    model.to(setting.device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    targets = torch.arange(setting.batch, device=setting.device)

    def features() -> tuple[Tensor, Tensor]:
        if setting.cached_texts:
            pooled = vision(pixel_values=batch.pixel_values).pooler_output
            return F.normalize(model.visual_projection(pooled).float(), dim=-1), batch.texts
        found = model(input_ids=batch.texts, pixel_values=batch.pixel_values)
        return found.image_embeds.float(), found.text_embeds.float()

    def step() -> None:
        modality_BE, text_BE = features()
        logits = model.logit_scale.exp() * modality_BE @ text_BE.T
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, arch


def model_config(setting: Setting) -> ModelConfig:
    """LoRA without dropout, as the official scripts train."""
    base = {"architecture": setting.architecture}
    return ModelConfig.model_validate({"base": base, "lora": {"rank": 2, "dropout": 0}})


def hugging_face_config(arch: ClipArchitecture) -> CLIPConfig:
    """The same towers."""

    def tower(part: Any, **more: int) -> dict[str, Any]:
        return {
            "hidden_size": part.width,
            "intermediate_size": part.mlp_width,
            "num_hidden_layers": part.num_layers,
            "num_attention_heads": part.num_heads,
            "hidden_act": part.activation,
            "projection_dim": arch.embedding_dim,
            **more,
        }

    vision, text = arch.vision, arch.text
    return CLIPConfig(
        text_config=tower(text, vocab_size=text.vocab_size, max_position_embeddings=text.context_length),
        vision_config=tower(vision, image_size=vision.input.height, patch_size=vision.patch_size),
        projection_dim=arch.embedding_dim,
    )


@contextmanager
def masked_after_embedding() -> Iterator[None]:
    """All patches are embedded, and then some of them are left out."""
    skipping = VisionTransformer.tokens

    def tokens(self: VisionTransformer, pixel_values: Tensor, kept_BM: Tensor | None) -> Tensor:
        every = skipping(self, pixel_values, None)
        if kept_BM is None:
            return every
        places = torch.cat([torch.zeros_like(kept_BM[:, :1]), kept_BM + 1], dim=1)
        return every.gather(1, places.unsqueeze(-1).expand(-1, -1, every.shape[-1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisionTransformer, "tokens", tokens)
        yield


@contextmanager
def whole_last_block() -> Iterator[None]:
    """All tokens go through the last block."""

    def forward(self: VisionTransformer, pixel_values: Tensor, kept_BM: Tensor | None = None) -> Tensor:
        x = self.tokens(pixel_values, kept_BM)
        for layer in self.layers:
            x = layer(x)
        return self.post_layernorm(x[:, 0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisionTransformer, "forward", forward)
        yield


@contextmanager
def lora_in_three_passes() -> Iterator[None]:
    """LoRA's product, its scaling and its sum with the base's output apart, as peft computes them."""

    def forward(self: _AddedLinear, input: Tensor, base_NO: Tensor) -> Tensor:
        return base_NO + F.linear(input, self.weight) * self.scaling

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_AddedLinear, "forward", forward)
        yield


WITHOUT: dict[str, Callable[[], Any]] = {
    "skipping masked patches before the embedding": masked_after_embedding,
    "the class token alone in the last block": whole_last_block,
    "LoRA in one pass": lora_in_three_passes,
    "fused attention": lambda: sdpa_kernel(SDPBackend.MATH),
}


def measure(setting: Setting) -> dict[str, float]:
    """Seconds of the fastest step; peak memory above the process with its libraries loaded, bytes; FLOP of a step."""
    torch.manual_seed(0)
    torch.set_num_threads(NUM_THREADS)
    before = peak_bytes(setting)
    step, arch = (plain_step if setting.loop == "plain" else our_step)(setting)
    with WITHOUT[setting.loop]() if setting.loop in WITHOUT else torch.enable_grad():
        step()
        seconds = min(timed(step, setting) for _ in range(STEPS_PER_ROUND))
        peak = peak_bytes(setting) - before
        with FlopCounterMode(display=False) as counter:
            step()
    flop = counter.get_total_flops()
    return {"seconds": seconds, "bytes": peak, "flop": flop, "rate": matmul_rate(setting, arch)}


def timed(step: Callable[[], None], setting: Setting) -> float:
    """Seconds."""
    synchronise(setting)
    began = time.perf_counter()
    step()
    synchronise(setting)
    return time.perf_counter() - began


def synchronise(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(setting: Setting) -> float:
    if setting.device == "cuda":
        return torch.cuda.max_memory_allocated()
    # The kernel's own count (Linux): getrusage's would begin with the parent's memory.
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def matmul_rate(setting: Setting, arch: ClipArchitecture) -> float:
    """FLOP/s of the blocks' matrix products alone: their shapes, forwards and backwards to the input."""
    vision = arch.vision
    num_patches = vision.num_patches - round(setting.mask_ratio * vision.num_patches)
    num_tokens = setting.batch * (1 + num_patches)
    shapes = 4 * [(vision.width, vision.width)] + [(vision.width, vision.mlp_width), (vision.mlp_width, vision.width)]
    dtype = torch.float32 if setting.device == "cpu" else torch.bfloat16
    flop = seconds = 0.0
    for width_in, width_out in shapes:
        x = torch.randn(num_tokens, width_in, device=setting.device, dtype=dtype)
        weight = torch.randn(width_out, width_in, device=setting.device, dtype=dtype)
        gradient = F.linear(x, weight)

        def products(x: Tensor = x, weight: Tensor = weight, gradient: Tensor = gradient) -> None:
            F.linear(x, weight)
            torch.mm(gradient, weight)

        products()
        seconds += min(timed(products, setting) for _ in range(10))
        flop += 4 * num_tokens * width_in * width_out
    return flop / seconds


def measure_apart(setting: Setting) -> dict[str, float]:
    """In a process of its own."""
    platform = str(Path(__file__).resolve().parents[2] / "platform")
    command = [sys.executable, __file__, json.dumps(asdict(setting))]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": platform}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def best_of_rounds(settings: dict[str, Setting]) -> dict[str, dict[str, float]]:
    """Each setting's fastest step and smallest memory."""
    rounds = [{name: measure_apart(setting) for name, setting in settings.items()} for _ in range(NUM_ROUNDS)]
    return {
        name: {
            "seconds": min(found[name]["seconds"] for found in rounds),
            "bytes": min(found[name]["bytes"] for found in rounds),
            "flop": rounds[0][name]["flop"],
            "rate": max(found[name]["rate"] for found in rounds),
        }
        for name in settings
    }


def compare(ours: Setting, without: tuple[str, ...] = tuple(WITHOUT)) -> tuple[float, float]:
    """Print the plain loops beside ours, and ours without one saving at a time.

    Returns: how many times as fast ours is as the plain loop with the text tower, and its share of that one's memory.
    """
    names = {
        "ours": ours,
        "plain loop, text tower in every step": replace(ours, loop="plain", cached_texts=False),
        "plain loop, cached texts": replace(ours, loop="plain"),
        "ours, each block computed again": replace(ours, recompute_blocks=True),
        "ours without cached texts": replace(ours, cached_texts=False),
        **{f"ours without {saving}": replace(ours, loop=saving) for saving in without},
    }
    found = best_of_rounds(names)
    own = found["ours"]
    print(f"\n{ours.architecture}, depth, batch {ours.batch}, LoRA r = 2, mask {ours.mask_ratio}, {ours.device}")
    for name, figures in found.items():
        achieved = figures["flop"] / figures["seconds"]
        print(
            f"  {name:58} {ours.batch / figures['seconds']:8.2f} samples/s, {figures['seconds'] / own['seconds']:.2f} "
            f"times our time; {figures['bytes'] / GIB:.2f} GiB, {figures['bytes'] / own['bytes']:.2f} times ours; "
            f"{achieved / 1e9:.0f} GFLOP/s, {achieved / figures['rate']:.0%} of the products alone"
        )
    plain = found["plain loop, text tower in every step"]
    return plain["seconds"] / own["seconds"], own["bytes"] / plain["bytes"]


def test_a_step_beside_the_plain_loop() -> None:
    faster, memory = compare(Setting("ours", "ViT-B-32", 16))
    print(f"  {faster:.2f} times as fast (at least 1.65), {memory:.2f} of its memory (at most 0.75)")
    assert faster >= 1.65
    assert memory <= 0.75


def test_a_large_step_beside_the_plain_loop() -> None:
    faster, _ = compare(Setting("ours", "ViT-L-14", 4), without=())
    print(f"  {faster:.2f} times as fast (at least 1.15)")
    assert faster >= 1.15


def on_gpu() -> None:
    """The paper's model, in growing batches."""
    for mask_ratio in (0.5, 0.0):
        for batch in (32, 128, 512):
            compare(Setting("ours", "ViT-L-14", batch, mask_ratio, device="cuda"), without=())


if __name__ == "__main__":
    if len(sys.argv) == 1:
        on_gpu()
    else:
        asked = Setting(**json.loads(sys.argv[1]))
        with torch.autocast(asked.device, torch.bfloat16, enabled=asked.device == "cuda"):
            print(json.dumps(measure(asked)))
