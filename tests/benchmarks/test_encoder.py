"""What masking and LoRA save: the encoder's part of a training step on the CPU, optimizer and its state included.

The texts' embeddings are given, so no language encoder runs. Each setting has a process of its own, whose peak resident
memory is the kernel's count (VmHWM, Linux). The training's memory is what that is above the process with its libraries
loaded and nothing built; the bound is on it, half of full tuning's as in Table 8c (132M against 278M).
RAYBIND_BENCH_ARCHITECTURE and RAYBIND_BENCH_BATCH choose another size; the bounds hold for ViT-L/14.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raybind.config.model import ModelConfig
from raybind.config.train import OptimizerConfig
from raybind.model.architecture import encoder_architecture
from raybind.model.bound import BoundModel, apply_tuning
from raybind.model.masking import draw_kept_patches
from raybind.objective.contrastive import contrastive_loss
from raybind.training.engine import TorchEngine

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc"),
]

PAPER = "ViT-L-14"
ARCHITECTURE = os.environ.get("RAYBIND_BENCH_ARCHITECTURE", PAPER)
BATCH = int(os.environ.get("RAYBIND_BENCH_BATCH", "8"))
TIMED_STEPS = 3
GIB = 2**30


def measure(tuning: str, mask_ratio: float) -> dict[str, float]:
    """Median time of a step, seconds, after one that is not counted; peak memory and where it began, bytes."""
    before_bytes = resident_bytes("VmRSS")
    config = ModelConfig.model_validate({"base": {"architecture": ARCHITECTURE}, "tuning": tuning})
    arch = encoder_architecture(config)
    model = BoundModel(arch)
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    apply_tuning(model, config)
    del model.language
    engine = TorchEngine(model, OptimizerConfig())
    generators = [np.random.default_rng(seed) for seed in range(BATCH)]
    seconds = [step(engine, mask_ratio, generators) for _ in range(1 + TIMED_STEPS)][1:]
    return {
        "seconds": statistics.median(seconds),
        "peak_bytes": resident_bytes("VmHWM"),
        "before_bytes": before_bytes,
    }


def step(engine: TorchEngine, mask_ratio: float, generators: list[np.random.Generator]) -> float:
    """Train on random pixels and texts. Returns: seconds."""
    vision, encoder = engine.model.arch.vision, engine.model.encoder
    pixels = torch.randn(BATCH, *vision.input.array)
    text_BE = F.normalize(torch.randn(BATCH, engine.model.arch.embedding_dim), dim=-1)
    kept = draw_kept_patches(generators, vision.num_patches, mask_ratio)
    began = time.perf_counter()
    modality_BE = encoder(pixels, None if kept is None else torch.from_numpy(kept))
    valid_B = torch.ones(BATCH, dtype=torch.bool)
    engine.backward(contrastive_loss(modality_BE, text_BE, engine.model.logit_scale.exp(), valid_B))
    engine.step(1e-4)
    return time.perf_counter() - began


def resident_bytes(count: str) -> int:
    """Resident memory, now (VmRSS) or at its peak (VmHWM): getrusage's peak would begin with the parent's memory."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{count}:"))


def measure_apart(tuning: str, mask_ratio: float, **environment: str) -> dict[str, Any]:
    platform = Path(__file__).resolve().parents[2] / "platform"
    command = [sys.executable, __file__, tuning, str(mask_ratio)]
    process = subprocess.run(
        command, env=os.environ | environment | {"PYTHONPATH": str(platform)}, stdout=subprocess.PIPE, check=True
    )
    return json.loads(process.stdout)


def test_time_follows_the_visible_patches() -> None:
    masked, whole = (measure_apart("lora", ratio)["seconds"] for ratio in (0.5, 0.0))
    print(f"\n{ARCHITECTURE}, LoRA, batch {BATCH}: one training step of the encoder, {torch.get_num_threads()} threads")
    print(f"  mask 0.5 {masked:.3f} s, mask 0 {whole:.3f} s: {masked / whole:.3f} (at most 0.55)")
    if ARCHITECTURE == PAPER:
        assert masked / whole <= 0.55


def test_lora_takes_half_the_memory_of_full_tuning() -> None:
    # glibc would otherwise keep freed tensors of up to 32 MiB in its heap, and the peak would count them.
    lora, full = (measure_apart(tuning, 0.5, MALLOC_MMAP_THRESHOLD_=str(128 * 1024)) for tuning in ("lora", "full"))
    print(f"\n{ARCHITECTURE}, mask 0.5, batch {BATCH}: peak memory of a training step of the encoder, GiB")
    ratio = print_memory(
        "training", lora["peak_bytes"] - lora["before_bytes"], full["peak_bytes"] - full["before_bytes"]
    )
    print_memory("whole process, libraries included", lora["peak_bytes"], full["peak_bytes"])
    if ARCHITECTURE == PAPER:
        assert ratio <= 0.5


def print_memory(what: str, lora_bytes: float, full_bytes: float) -> float:
    ratio = lora_bytes / full_bytes
    print(f"  {what}: LoRA {lora_bytes / GIB:.2f}, full {full_bytes / GIB:.2f}: {ratio:.3f}")
    return ratio


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]))))
