"""One optimizer step."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

from raybind.model.bound import MAX_LOGIT_SCALE, Features
from raybind.objective.contrastive import contrastive_loss
from raybind.training.batch import Batch
from raybind.training.ports import Engine


class StepResult(NamedTuple):
    """What a step tells."""

    loss: Tensor
    """Scalar, this rank's share; the mean over ranks is the loss of the global batch, nats."""
    scale: float
    """1 / tau the loss was computed with."""
    grad_norm: float
    """Global, before clipping; not finite where a gradient is not."""
    finite_B: Tensor
    """bool, whose embeddings are finite."""


def train_step(engine: Engine, batch: Batch, lr: float, grad_accum_steps: int = 1) -> StepResult:
    """Encode, compare with the global batch, update, and keep logit_scale within [0, ln 100] (CLIP, Sec. 2.5).

    Args:
        grad_accum_steps: parts in which the batch is encoded; the loss is that of the whole batch all the same.
    """
    if grad_accum_steps == 1:
        features = engine(batch.pixel_values, batch.texts, batch.kept_BM)
        loss = contrastive_loss(features.modality_BE, features.text_BE, features.scale, batch.valid_B)
        engine.backward(loss)
    else:
        loss, features = _backward_in_parts(engine, batch, grad_accum_steps)
    grad_norm = engine.step(lr)
    engine.clamp("logit_scale", 0.0, MAX_LOGIT_SCALE)
    finite_B = (features.modality_BE.isfinite() & features.text_BE.isfinite()).all(1)
    return StepResult(loss.detach(), float(features.scale.detach()), grad_norm, finite_B)


def _backward_in_parts(engine: Engine, batch: Batch, num_parts: int) -> tuple[Tensor, Features]:
    """The gradients of the whole batch's loss, with the activations of one part at a time.

    The first pass keeps embeddings alone; the loss gives their gradients, which the second pass carries on into the
    parameters, part by part, with what was random in the first drawn again (the gradient cache of Gao et al. 2021,
    "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup").
    """
    parts = batch.split(num_parts)
    states = []
    encoded: list[Features] = []
    for part in parts:
        states.append(_random_state(part))
        with torch.no_grad():
            encoded.append(engine(part.pixel_values, part.texts, part.kept_BM))
    whole = Features(
        torch.cat([features.modality_BE for features in encoded]).requires_grad_(),
        torch.cat([features.text_BE for features in encoded]).requires_grad_(),
        encoded[0].scale.detach().requires_grad_(),
    )
    loss = contrastive_loss(whole.modality_BE, whole.text_BE, whole.scale, batch.valid_B)
    gradients = Features(*torch.autograd.grad(loss, list(whole)))
    modality, text = (gradient.chunk(num_parts) for gradient in (gradients.modality_BE, gradients.text_BE))
    for number, part in enumerate(parts):
        _set_random_state(states[number])
        features = engine(part.pixel_values, part.texts, part.kept_BM)
        pulled = (features.modality_BE * modality[number]).sum() + (features.scale * gradients.scale / num_parts).sum()
        if features.text_BE.requires_grad:
            pulled = pulled + (features.text_BE * text[number]).sum()
        engine.backward(pulled, last=number == num_parts - 1)
    return loss, whole


def _random_state(part: Batch) -> tuple[Tensor, list[int], list[Tensor]]:
    return torch.get_rng_state(), *get_device_states(part.pixel_values)


def _set_random_state(state: tuple[Tensor, list[int], list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    set_device_states(*state[1:])
