"""Names and loci of operations: tables for PyTorch's module types and functions; our own modules have a `label`."""

from __future__ import annotations

import torch
from torch import nn

from convatlas.anatomy.measure.products import CONVOLUTIONS, TRANSPOSED
from convatlas.anatomy.measure.tracing.calls import Operation, argument
from convatlas.genes.label import label_of

KINDS: tuple[tuple[tuple[type[nn.Module], ...], str, str], ...] = (
    ((nn.Linear,), "dense", "dense"),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), "transposed convolution", "convolution"),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), "batch normalization", "normalization"),
    ((nn.LayerNorm,), "layer normalization", "normalization"),
    ((nn.GroupNorm,), "group normalization", "normalization"),
    ((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), "instance normalization", "normalization"),
    ((nn.LocalResponseNorm,), "local response normalization", "normalization"),
    ((nn.ReLU,), "ReLU", "activation"),
    ((nn.ReLU6,), "ReLU6", "activation"),
    ((nn.LeakyReLU,), "leaky ReLU", "activation"),
    ((nn.PReLU,), "PReLU", "activation"),
    ((nn.ELU,), "ELU", "activation"),
    ((nn.SELU,), "SELU", "activation"),
    ((nn.GELU,), "GELU", "activation"),
    ((nn.SiLU,), "SiLU", "activation"),
    ((nn.Hardswish,), "hard swish", "activation"),
    ((nn.Mish,), "mish", "activation"),
    ((nn.Softplus,), "softplus", "activation"),
    ((nn.Sigmoid, nn.Hardsigmoid), "logistic", "activation"),
    ((nn.Tanh,), "tanh", "activation"),
    ((nn.Softmax,), "softmax", "activation"),
    ((nn.MaxPool2d,), "max pooling", "pooling"),
    ((nn.AvgPool2d,), "average pooling", "pooling"),
    ((nn.AdaptiveAvgPool2d,), "adaptive average pooling", "pooling"),
    ((nn.AdaptiveMaxPool2d,), "adaptive max pooling", "pooling"),
    ((nn.Flatten,), "flatten", "flattening"),
    ((nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d), "padding", "padding"),
    ((nn.Upsample,), "upsampling", "skip"),
    ((nn.ChannelShuffle,), "channel shuffle", "skip"),
    ((nn.Dropout, nn.Dropout2d), "dropout", "regularization"),
    ((nn.Identity,), "identity", "skip"),
)
"""(module types, kind, locus); the first matching row counts, so special types come before general ones."""

FUNCTIONS = {
    "relu": ("ReLU", "activation"),
    "relu6": ("ReLU6", "activation"),
    "leaky_relu": ("leaky ReLU", "activation"),
    "prelu": ("PReLU", "activation"),
    "elu": ("ELU", "activation"),
    "selu": ("SELU", "activation"),
    "mish": ("mish", "activation"),
    "softplus": ("softplus", "activation"),
    "gelu": ("GELU", "activation"),
    "silu": ("SiLU", "activation"),
    "hardswish": ("hard swish", "activation"),
    "sigmoid": ("logistic", "activation"),
    "tanh": ("tanh", "activation"),
    "softmax": ("softmax", "activation"),
    "add": ("sum", "skip"),
    "iadd": ("sum", "skip"),
    "mul": ("product", "skip"),
    "imul": ("product", "skip"),
    "cat": ("concatenation", "skip"),
    "concat": ("concatenation", "skip"),
    "flatten": ("flatten", "flattening"),
    "view": ("flatten", "flattening"),
    "reshape": ("flatten", "flattening"),
    "mean": ("global average pooling", "flattening"),
    "adaptive_avg_pool2d": ("adaptive average pooling", "pooling"),
    "avg_pool2d": ("average pooling", "pooling"),
    "max_pool2d": ("max pooling", "pooling"),
    "linear": ("dense", "dense"),
    "dropout": ("dropout", "regularization"),
    "pad": ("padding", "padding"),
    "layer_norm": ("layer normalization", "normalization"),
    "group_norm": ("group normalization", "normalization"),
    "instance_norm": ("instance normalization", "normalization"),
    "local_response_norm": ("local response normalization", "normalization"),
    "batch_norm": ("batch normalization", "normalization"),
    "multi_head_attention_forward": ("attention", "attention"),
    "scaled_dot_product_attention": ("attention", "attention"),
}
"""(kind, locus) of functions called outside of leaf modules; other functions keep their own name."""


TRANSPOSING = ("permute", "transpose", "swapaxes", "swapdims")
"""Functions that put the sides of a tensor into another order."""

VIEWS = (
    *TRANSPOSING, "reshape", "view", "flatten", "unflatten", "contiguous", "unsqueeze", "squeeze",
)  # fmt: skip
"""Functions that give a tensor another shape."""

REARRANGING = "rearrangement", "other"
"""Kind and locus of a module that only gives a tensor another shape, in several steps."""


def kind_of(operation: Operation) -> tuple[str, str]:
    """Kind and locus of an operation: ("depthwise convolution", "convolution"), ("ReLU", "activation"), ..."""
    module = operation.module
    if operation.is_leaf:
        label = label_of(module)
        if label is not None:
            return label.kind, label.locus
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return _convolution(module.groups, module.in_channels, max(module.dilation)), "convolution"
        known = kind_of_module(module)
        if known is not None:
            return known
        names = [call.name for call in operation.calls]
        if len(names) != 1:
            return REARRANGING if names and set(names) <= set(VIEWS) else (_type_name(module), "other")
    call = operation.calls[0]
    if call.name in CONVOLUTIONS:
        dilation, groups = argument(call, 5, "dilation", 1), argument(call, 6, "groups", 1)
        channels = argument(call, 1, "weight").shape[1] * groups
        return _convolution(groups, channels, dilation if isinstance(dilation, int) else max(dilation)), "convolution"
    if call.name in TRANSPOSED:
        return "transposed convolution", "convolution"
    if call.name == "hardtanh":
        # `torch.export` turns a ReLU6 into this function.
        limits = argument(call, 1, "min_val", -1), argument(call, 2, "max_val", 1)
        return "ReLU6" if limits == (0, 6) else "hard tanh", "activation"
    if call.name in ("view", "reshape") and operation.shapes and len(operation.shapes[0]) > 2:
        return "reshape", "other"
    named_by_module = operation.is_leaf and call.name not in VIEWS
    return FUNCTIONS.get(call.name, (_type_name(module) if named_by_module else call.name, "other"))


def kind_of_module(module: nn.Module) -> tuple[str, str] | None:
    """Kind and locus of a module, as far as its type alone determines them; None otherwise."""
    label = label_of(module)
    if label is not None:
        return label.kind, label.locus
    return next(((kind, locus) for types, kind, locus in KINDS if isinstance(module, types)), None)


def kind_or_class(module: nn.Module) -> str:
    """Kind of a module; the name of its class if no table has it."""
    known = kind_of_module(module)
    return known[0] if known else type(module).__name__


def _type_name(module: nn.Module) -> str:
    """Name of a module's class; for a TorchScript module, that of the class it was compiled from."""
    original = getattr(module, "original_name", None) if isinstance(module, torch.jit.ScriptModule) else None
    return original or type(module).__name__


def _convolution(groups: int, channels: int, dilation: int) -> str:
    if groups == 1:
        return "dilated convolution" if dilation > 1 else "convolution"
    return "depthwise convolution" if groups == channels else "grouped convolution"
