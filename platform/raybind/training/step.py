"""One optimizer step."""

from typing import NamedTuple

from torch import Tensor

from raybind.model.bound import MAX_LOGIT_SCALE
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
    """Global, before clipping."""


def train_step(engine: Engine, batch: Batch, lr: float) -> StepResult:
    """Encode, compare with the global batch, update, and keep logit_scale within [0, ln 100] (CLIP, Sec. 2.5)."""
    features = engine(batch.pixel_values, batch.texts, batch.kept_BM)
    loss = contrastive_loss(features.modality_BE, features.text_BE, features.scale, batch.valid_B)
    engine.backward(loss)
    grad_norm = engine.step(lr)
    engine.clamp("logit_scale", 0.0, MAX_LOGIT_SCALE)
    return StepResult(loss.detach(), float(features.scale.detach()), grad_norm)
