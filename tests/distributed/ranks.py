"""Worker functions of the distributed tests; run in spawned processes, so they live in an importable module."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from deepspeed.accelerator import get_accelerator
from torch import Tensor

from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts
from raybind.data.order import Batching, Cursor, Share
from raybind.integrations import deepspeed
from raybind.integrations.deepspeed import DeepSpeedEngine
from raybind.model.architecture import VisionArchitecture, read_architecture
from raybind.model.bound import build_model, trainable_parameters
from raybind.objective.contrastive import contrastive_loss
from raybind.training import checkpoint
from raybind.training.batch import Batch
from raybind.training.checkpoint import load_parameters
from raybind.training.engine import TorchEngine
from raybind.training.ports import Engine
from raybind.training.state import LossScaling
from raybind.training.step import train_step
from raybind.training.task import starting_model

GLOBAL_BATCH = 16
TINY = read_architecture("ViT-Tiny-14").vision
PEAK_LR, WARMUP_STEPS = 5e-4, 200
"""Of depth (LanguageBind, Table 12)."""
FIRST_SCALE = 2.0**20
"""With which fp16 gradients overflow."""


def start(rank: int, world_size: int, rendezvous: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Join the group, run `work(rank, world_size, *arguments)`; rank 0's result goes to `<rendezvous>.result`."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    result = work(rank, world_size, *arguments)
    if rank == 0:
        torch.save(result, f"{rendezvous}.result")
    dist.barrier()
    dist.destroy_process_group()


def global_batch(step: int, vision: VisionArchitecture = TINY) -> Batch:
    """The same global batch on every machine; of every input a quarter of the patches is kept."""
    generator = torch.Generator().manual_seed(step)
    patches = vision.num_patches
    ids = torch.randint(1, 4000, (GLOBAL_BATCH, 12), generator=generator)
    ids[:, -1] = 4095
    return Batch(
        torch.randn(GLOBAL_BATCH, *vision.input.array, generator=generator),
        ids,
        torch.stack([torch.randperm(patches, generator=generator)[: patches // 4] for _ in range(GLOBAL_BATCH)]),
        torch.ones(GLOBAL_BATCH, dtype=torch.bool),
    )


def share_of(config: TrainConfig, world_size: int) -> Share:
    """What one of so many ranks gets of the global batch."""
    return Batching(GLOBAL_BATCH, GLOBAL_BATCH).share(world_size, config.micro_batch_size)


def share(batch: Batch, rank: int, world_size: int) -> Batch:
    """The rows of one rank."""
    return batch.split(world_size)[rank]


def steps(engine: Engine, rank: int, world_size: int, first: int, last: int, grad_accum_steps: int = 1) -> list[float]:
    """Losses of the global batch, step by step."""
    losses = []
    for step in range(first, last):
        batch = share(global_batch(step), rank, world_size)
        loss = train_step(engine, batch, 2e-3, grad_accum_steps).loss
        if world_size > 1:
            dist.all_reduce(loss)
        losses.append(loss.item() / world_size)
    return losses


def reference(config: TrainConfig, num_steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """One process, plain torch, the whole batch."""
    model, _ = build_model(config.model, seed=0)
    engine = TorchEngine(model, config.optimizer)
    return steps(engine, 0, 1, 0, num_steps), engine.parameters()


def zero_run(
    rank: int, world_size: int, configs: list[TrainConfig], num_steps: int
) -> list[tuple[list[float], dict[str, torch.Tensor]]]:
    """One run per configuration; half-way the state moves to a fresh engine, as at a resume."""
    results = []
    for config in configs:
        model, _ = build_model(config.model, seed=0)
        engine = DeepSpeedEngine(model, config, share_of(config, world_size))
        losses = steps(engine, rank, world_size, 0, num_steps // 2)
        parameters, optimizer = engine.parameters(), engine.optimizer_state()
        model, _ = build_model(config.model, seed=0)
        load_parameters(model, parameters)
        engine = DeepSpeedEngine(model, config, share_of(config, world_size))
        engine.load_optimizer_state(optimizer)
        losses += steps(engine, rank, world_size, num_steps // 2, num_steps)
        encoded = engine.encode(share(global_batch(99), rank, world_size).pixel_values)
        results.append((losses, engine.parameters() | {"encoded": encoded}))
    return results


class Trained(NamedTuple):
    """What exactness is measured on, by parameter."""

    gradients: dict[str, Tensor]
    """Of the first step."""
    parameters: dict[str, Tensor]
    """After the last step."""
    changes: dict[str, Tensor]
    """From the start to there."""


def trained(engine: Engine, config: TrainConfig, rank: int, world_size: int, num_steps: int) -> Trained:
    """Train in the recipe's warm-up.

    The first step's gradients are read off AdamW's first moments, which are a tenth of them then.
    """
    model, _ = starting_model(config)
    start = {name: value.detach().clone() for name, value in trainable_parameters(model).items()}
    moments: dict[str, Tensor] = {}
    for step in range(num_steps):
        batch = share(global_batch(step, model.arch.vision), rank, world_size)
        train_step(engine, batch, PEAK_LR * (step + 1) / WARMUP_STEPS, config.training.grad_accum_steps)
        moments = moments or engine.optimizer_state().exp_avg
    end = engine.parameters()
    return Trained(moments, end, {name: end[name] - start[name] for name in end})


def exact_reference(config: TrainConfig, num_steps: int) -> Trained:
    """One process, plain torch, the whole batch at once, on one thread as the ranks.

    Its linear layers round as they do at the configured stage.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = config.model_copy(update={"training": config.training.model_copy(update={"grad_accum_steps": 1})})
    with linear_of_stage_3() if config.training.zero_stage == 3 else nullcontext():
        result = trained(TorchEngine(starting_model(config)[0], config.optimizer), whole, 0, 1, num_steps)
    torch.set_num_threads(num_threads)
    return result


@contextmanager
def linear_of_stage_3() -> Iterator[None]:
    """Add the bias after the product, which rounds once more than torch's single operation does.

    DeepSpeed replaces `F.linear` so at stage 3, for the memory's sake.
    """

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        product = x.matmul(weight.T)
        return product if bias is None else product + bias

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "linear", linear)
        yield


def exact_run(rank: int, world_size: int, configs: list[TrainConfig], num_steps: int) -> list[Trained]:
    """One run per configuration."""
    return [
        trained(
            DeepSpeedEngine(starting_model(config)[0], config, share_of(config, world_size)),
            config,
            rank,
            world_size,
            num_steps,
        )
        for config in configs
    ]


def recomputing_run(
    rank: int, world_size: int, configs: list[TrainConfig], num_steps: int
) -> list[tuple[list[float], dict[str, torch.Tensor]]]:
    """One run per configuration; at stage 3 even the smallest parameter is whole only while a module runs."""
    plain = deepspeed._deepspeed_config

    def nothing_stays(config: TrainConfig, share: Share) -> dict[str, Any]:
        made = plain(config, share)
        names = ("param_persistence_threshold", "max_live_parameters", "max_reuse_distance")
        made["zero_optimization"] |= {f"stage3_{name}": 0 for name in names}
        return made

    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deepspeed, "_deepspeed_config", nothing_stays)
        for config in configs:
            torch.manual_seed(rank)
            model, _ = build_model(config.model, seed=0)
            model.encoder.vision.recompute_blocks = config.training.activation_checkpointing
            engine = DeepSpeedEngine(model, config, share_of(config, world_size))
            losses = steps(engine, rank, world_size, 0, num_steps, grad_accum_steps=config.training.grad_accum_steps)
            results.append((losses, engine.parameters()))
    return results


def half_run(
    rank: int, world_size: int, configs: list[TrainConfig], num_steps: int, folder: Path
) -> list[dict[str, Any]]:
    """One run per configuration, without and with a move to a fresh engine through a checkpoint half-way.

    fp16 begins with a scale that overflows; that this machine's CPU has no instructions for it does not keep torch
    from computing it.
    """
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(get_accelerator(), "is_fp16_supported", lambda: True)
        for config in configs:
            for resumed in (False, True):
                engine = DeepSpeedEngine(build_model(config.model, seed=0)[0], config, share_of(config, world_size))
                if engine.loss_scaling is not None:
                    start = replace(engine.optimizer_state(), loss_scaling=LossScaling(FIRST_SCALE, 0, -1, 1))
                    engine.load_optimizer_state(start)
                losses = steps(engine, rank, world_size, 0, num_steps // 2)
                if resumed:
                    engine = through_checkpoint(engine, config, rank, folder)
                losses += steps(engine, rank, world_size, num_steps // 2, num_steps)
                state = engine.optimizer_state()
                results.append({"losses": losses, "parameters": engine.parameters(), "state": state})
    return results


def through_checkpoint(engine: DeepSpeedEngine, config: TrainConfig, rank: int, folder: Path) -> DeepSpeedEngine:
    """A fresh engine that goes on where the other stands."""
    parameters, optimizer = engine.parameters(), engine.optimizer_state()
    state = checkpoint.CheckpointState(
        step=0,
        cursor=Cursor(0, 0),
        optimizer_steps=optimizer.num_steps,
        loss_scaling=optimizer.loss_scaling,
        base_fingerprint=None,
        data_digest="",
        faults=FaultCounts(),
        config=config,
    )
    if rank == 0:
        checkpoint.write_checkpoint(folder, state, parameters, optimizer)
    dist.barrier()
    state = checkpoint.read_state((folder / "state.json").read_bytes())
    model, _ = build_model(config.model, seed=0)
    load_parameters(model, checkpoint.read_parameters(folder))
    fresh = DeepSpeedEngine(model, config, share_of(config, dist.get_world_size()))
    fresh.load_optimizer_state(checkpoint.read_optimizer(folder, state))
    dist.barrier()
    return fresh


def clamp_run(rank: int, world_size: int, configs: list[TrainConfig]) -> list[float]:
    """Where logit_scale ends when the loss pushes it beyond its bound."""
    ends = []
    for config in configs:
        model, _ = build_model(config.model, seed=0)
        with torch.no_grad():
            model.logit_scale.fill_(4.605)
        engine = DeepSpeedEngine(model, config, share_of(config, world_size))
        batch = share(global_batch(0), rank, world_size)
        for _ in range(3):
            features = engine(batch.pixel_values, batch.texts, batch.kept_BM)
            engine.backward(-features.scale.sum() + 0 * features.modality_BE.sum())
            engine.step(0.1)
            engine.clamp("logit_scale", 0.0, 4.60517)
        ends.append(float(engine.parameters()["logit_scale"]))
        ends.append(float(engine(batch.pixel_values, batch.texts, batch.kept_BM).scale.detach()))
    return ends


def loss_run(rank: int, world_size: int) -> dict[str, torch.Tensor]:
    """Loss and gradient of features spread over the ranks, some of them not valid."""
    generator = torch.Generator().manual_seed(5)
    x, y = (F.normalize(torch.randn(GLOBAL_BATCH, 6, generator=generator), dim=-1) for _ in range(2))
    valid = torch.arange(GLOBAL_BATCH) % 5 != 2
    size = GLOBAL_BATCH // world_size
    rows = slice(rank * size, (rank + 1) * size)
    weight = torch.eye(6).requires_grad_()
    loss = contrastive_loss(x[rows] @ weight, y[rows] @ weight, torch.tensor([10.0]), valid[rows])
    loss.backward()
    gradient, total = weight.grad, loss.detach()
    assert gradient is not None
    if world_size > 1:
        dist.all_reduce(gradient)
        dist.all_reduce(total)
    return {"gradient": gradient / world_size, "loss": total / world_size}
