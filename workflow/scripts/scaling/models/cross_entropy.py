"""The output head and its cross-entropy as one operation, which never holds the logits of all tokens."""

import torch
from torch.autograd.function import once_differentiable

from scaling.memory import GPU_LOGITS, MIN_ROWS
from scaling.models import layers

CPU_LOGITS = 2**18
"""Logits in memory at once on a CPU: a megabyte, which stays in a core's cache."""
CPU_ALIGNMENT = 1
"""A CPU takes a vocabulary as it is."""
GPU_ALIGNMENT = 64
"""A GPU's matrix units want rows of a multiple of this; the vocabulary is padded to it in passing."""


def cross_entropy(features, weight, targets):
    """Mean loss, with its gradient, and the loss of every token, without: both fp32, in nats.

    ``features`` (tokens, d_model), ``weight`` (n_vocab, d_model), ``targets`` (tokens,) of ids. With
    gradients enabled, those of features and weight are computed in the same pass as the losses, a chunk of
    tokens at a time, so that the logits are made once and memory holds one chunk of them.
    """
    return _HeadCrossEntropy.apply(features, weight, targets, torch.is_grad_enabled())


def _power_of_two(most):
    """The largest power of two up to ``most``, 0 for none: products of other sizes leave units idle."""
    return 1 << most.bit_length() - 1 if most else 0


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weight, targets, differentiate):
        tokens, n_vocab = len(features), len(weight)
        on_cpu = features.device.type == "cpu"
        padding = -n_vocab % (CPU_ALIGNMENT if on_cpu else GPU_ALIGNMENT)
        head = weight.to(features.dtype)
        if padding:
            head = torch.nn.functional.pad(head, (0, 0, 0, padding))
        onednn = layers.by_onednn(features, head)
        rows = max(MIN_ROWS, _power_of_two((CPU_LOGITS if on_cpu else GPU_LOGITS) // n_vocab))
        losses = torch.empty(tokens, dtype=torch.float32, device=features.device)
        if differentiate:
            d_features = torch.empty_like(features)
            d_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, tokens, rows):
            part = slice(start, start + rows)
            x, target = features[part], targets[part, None]
            z = (layers.product(x, head) if onednn else x @ head.t()).float()
            if padding:
                z[:, n_vocab:] = -torch.inf
            wanted, top = z.gather(1, target), z.amax(1, keepdim=True)
            total = z.sub_(top).exp_().sum(1, keepdim=True)
            losses[part] = (total.log() + top - wanted).squeeze(1)
            if differentiate:
                z.mul_(1 / (total * tokens))
                z.scatter_add_(1, target, torch.full_like(wanted, -1 / tokens))
                dz = z.to(x.dtype)
                if onednn:
                    d_features[part] = layers.product(dz, head.t())
                    d_weight += layers.weight_gradient(dz, x)
                else:
                    d_features[part] = dz @ head
                    d_weight += (dz.t() @ x)[:n_vocab]
        if differentiate:
            ctx.save_for_backward(d_features, d_weight)
        ctx.mark_non_differentiable(losses)
        return losses.mean(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx, d_mean, _):
        d_features, d_weight = ctx.saved_tensors
        return d_features * d_mean, d_weight * d_mean, None, None
