"""What a frozen language encoder costs in every step: a whole depth training step with and without it.

RAYBIND_BENCH_TEXT_ARCHITECTURE and RAYBIND_BENCH_BATCH choose another size.
"""

import os
import statistics
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raybind.config.model import ModelConfig
from raybind.config.train import OptimizerConfig
from raybind.model.architecture import encoder_architecture
from raybind.model.bound import BoundModel, apply_tuning
from raybind.model.masking import draw_kept_patches
from raybind.model.tokenizer import Tokenizer
from raybind.training.batch import Batch
from raybind.training.engine import TorchEngine
from raybind.training.step import train_step

pytestmark = pytest.mark.bench

ARCHITECTURE = os.environ.get("RAYBIND_BENCH_TEXT_ARCHITECTURE", "ViT-B-32")
BATCH = int(os.environ.get("RAYBIND_BENCH_BATCH", "32"))
TIMED_STEPS = 5
CAPTION = "a depth photo of a living room with a sofa, two chairs, a table and a window behind them"


def engine(config: ModelConfig, with_language: bool) -> TorchEngine:
    torch.manual_seed(0)
    model = BoundModel(encoder_architecture(config), with_language)
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    apply_tuning(model, config)
    return TorchEngine(model, OptimizerConfig())


def test_step_without_the_language_encoder() -> None:
    config = ModelConfig.model_validate({"base": {"architecture": ARCHITECTURE}})
    arch = encoder_architecture(config)
    tokens = Tokenizer(arch.text.vocab_size, arch.text.context_length)([CAPTION] * BATCH)
    texts = {
        "computed": torch.from_numpy(tokens),
        "cached": F.normalize(torch.randn(BATCH, arch.embedding_dim), dim=-1),
    }
    engines = {name: engine(config, with_language=name == "computed") for name in texts}
    pixels = torch.randn(BATCH, *arch.vision.input.array)
    kept = draw_kept_patches([np.random.default_rng(n) for n in range(BATCH)], arch.vision.num_patches, 0.5)
    assert kept is not None
    seconds: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(1 + TIMED_STEPS):
        for name, given in texts.items():
            batch = Batch(pixels, given, torch.from_numpy(kept), torch.ones(BATCH, dtype=torch.bool))
            began = time.perf_counter()
            train_step(engines[name], batch, 1e-4)
            seconds[name].append(time.perf_counter() - began)
    rates = {name: BATCH / statistics.median(values[1:]) for name, values in seconds.items()}
    print(
        f"\n{ARCHITECTURE}, depth, LoRA, mask 0.5, batch {BATCH}: text embeddings cached {rates['cached']:.1f}, "
        f"computed {rates['computed']:.1f} samples/s: {rates['cached'] / rates['computed']:.2f} times"
    )
