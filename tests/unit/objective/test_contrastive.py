"""The contrastive loss: against its definition, and with samples that could not be read."""

import pytest
import torch
import torch.nn.functional as F

from raybind.objective import contrastive
from raybind.objective.contrastive import contrastive_loss


def features(num: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (F.normalize(torch.randn(num, 8, generator=generator), dim=-1).requires_grad_() for _ in range(2))
    return x, y, torch.tensor([10.0], requires_grad=True)


def test_equals_equation_3() -> None:
    x, y, scale = features(7)
    logits = scale * x @ y.T
    expected = -(logits.diagonal() * 2 - logits.logsumexp(0) - logits.logsumexp(1)).mean() / 2
    torch.testing.assert_close(contrastive_loss(x, y, scale, torch.ones(7, dtype=torch.bool)), expected)


def test_an_unreadable_sample_is_as_if_it_were_not_there() -> None:
    x, y, scale = features(7)
    valid = torch.tensor([True, True, False, True, False, True, True])
    loss = contrastive_loss(x, y, scale, valid)
    loss.backward()
    fewer_x, fewer_y, fewer_scale = (t.detach().clone().requires_grad_() for t in (x[valid], y[valid], scale))
    expected = contrastive_loss(fewer_x, fewer_y, fewer_scale, torch.ones(5, dtype=torch.bool))
    expected.backward()
    torch.testing.assert_close(loss, expected)
    assert x.grad is not None
    torch.testing.assert_close(x.grad[valid], fewer_x.grad)
    torch.testing.assert_close(scale.grad, fewer_scale.grad)
    assert not x.grad[~valid].any()


def test_nothing_readable_is_no_loss_and_no_gradient() -> None:
    x, y, scale = features(4)
    loss = contrastive_loss(x, y, scale, torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert x.grad is not None
    assert not x.grad.any()


def test_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for rows_of_a_chunk in (50, 7):
        monkeypatch.setattr(contrastive, "CHUNK_BYTES", rows_of_a_chunk * 4 * 50)
        x, y, scale = features(50)
        valid = torch.arange(50) % 9 != 4
        loss = contrastive_loss(x, y, scale, valid)
        loss.backward()
        results.append([loss.detach(), x.grad, y.grad, scale.grad])
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-6, atol=1e-8)
