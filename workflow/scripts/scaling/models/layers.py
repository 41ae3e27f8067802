"""Matrix products and the layers built on them, by the fastest kernel that a device has for them."""

import platform

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ONEDNN = torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")


SMALL = 2048
"""Weights of a layer below which MKL's smaller overhead wins."""


def by_onednn(x, weight):
    """Whether products of ``x`` and ``weight`` go to oneDNN, not to torch's choice, which is MKL on x86.

    MKL uses half the vector width of processors it does not know: on an AMD EPYC with AVX-512 oneDNN is
    twice as fast (docs/performance.md). Only fp32 on x86; the compiler has kernels of its own.
    """
    return (
        _ONEDNN
        and weight.numel() >= SMALL
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def product(x, weight, bias=None):
    """x · weightᵀ + bias for fp32 matrices on a CPU, x (rows, in) and weight (out, in), by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def weight_gradient(dy, x):
    """dyᵀ · x for dy (rows, out) and x (rows, in): oneDNN is quickest with the narrower one in front."""
    if dy.shape[1] <= x.shape[1]:
        return product(dy.t(), x.t())
    return product(x.t(), dy.t()).t()


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        return product(dy, weight.t()), weight_gradient(dy, x), dy.sum(0)


class Linear(nn.Linear):
    """nn.Linear with a bias, by oneDNN where that is the faster one."""

    def forward(self, x):
        if not by_onednn(x, self.weight):
            return F.linear(x, self.weight, self.bias)
        flat = x.reshape(-1, self.in_features)
        return _OneDnnLinear.apply(flat, self.weight, self.bias).view(*x.shape[:-1], self.out_features)
