"""Kinds of ATen operations, by name: what a rule has to know of them."""

from __future__ import annotations

from convatlas.probes.tape.tape import Operation, Slot, Tape


def names(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


SELECTION = names(
    "view reshape _unsafe_view _reshape_alias permute transpose t expand alias detach clone contiguous unsqueeze "
    "squeeze select slice split split_with_sizes unbind unsafe_split unsafe_chunk narrow cat stack flip roll "
    "repeat as_strided diagonal unfold im2col lift_fresh _to_copy copy view_read view_scatter index index_select "
    "gather pixel_shuffle pixel_unshuffle channel_shuffle constant_pad_nd reflection_pad1d reflection_pad2d "
    "replication_pad1d replication_pad2d masked_fill where select_scatter slice_scatter index_put tril triu "
    "native_channel_shuffle movedim squeeze_ unsqueeze_ rot90 view_as_real masked_select"
)
"""Operations that move, copy, leave out or insert numbers."""

MIXING = names(
    "mean sum avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d "
    "cumsum upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d "
    "_upsample_nearest_exact2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa col2im add sub rsub neg "
    "native_batch_norm lerp trace cudnn_batch_norm _native_batch_norm_legit_no_training"
)
"""Operations that are affine in their tensors: weighted sums with fixed weights, plus constants."""

PRODUCTS = names("mul mm bmm addmm baddbmm convolution div addcmul mv dot addbmm einsum linear addmv")
"""Operations that are affine in each of their tensors, but not in several of them."""

ELEMENTWISE = names(
    "relu relu6 silu gelu sigmoid tanh hardtanh clamp clamp_min clamp_max hardswish hardsigmoid leaky_relu elu "
    "celu selu softplus mish exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal pow abs square sin cos tan "
    "erf erfc threshold hardshrink softshrink log_sigmoid_forward logit atan asin acos sinh cosh asinh acosh "
    "atanh sinc _prelu_kernel softsign"
)
"""Functions of a single number, applied to each."""

STEPS = names("gt ge lt le eq ne argmax argmin sign floor ceil round trunc argsort bitwise_not logical_not")
"""Operations that are constant between jumps: nothing goes back through them."""

WEIGHTED = names("convolution mm addmm")
"""Products that layers with weights consist of."""


def varying(tape: Tape, operation: Operation) -> set[int]:
    """Indices of the inputs of an operation that depend on the photo."""
    return {index for index in operation.inputs if tape.depends[index]}


def is_affine(tape: Tape, operation: Operation) -> bool:
    """Whether an operation is an affine function of what depends on the photo."""
    name = operation.name
    if name in ("where", "masked_fill", "index", "gather", "index_select", "index_put", "masked_select"):
        return all(not tape.depends[index] or tape.values[index].is_floating_point() for index in operation.inputs)
    if name == "native_batch_norm":
        return not operation.args[5] and len(varying(tape, operation)) == 1
    if name in ("lerp", "pow"):
        return False
    if name in SELECTION | MIXING:
        return True
    if name == "div":
        return "rounding_mode" not in operation.kwargs and not _slot_varies(tape, operation, 1)
    if name == "addmm" or name == "baddbmm":
        return not (_slot_varies(tape, operation, 1) and _slot_varies(tape, operation, 2))
    if name == "addcmul":
        return not (_slot_varies(tape, operation, 1) and _slot_varies(tape, operation, 2))
    if name == "convolution":
        return not (_slot_varies(tape, operation, 0) and _slot_varies(tape, operation, 1))
    if name in PRODUCTS:
        return sum(tape.depends[index] for index in operation.inputs) == 1
    return False


def is_layer(tape: Tape, operation: Operation) -> bool:
    """Whether an operation is a convolution or dense layer: what depends on the photo, times fixed weights."""
    if operation.name == "convolution":
        return _slot_varies(tape, operation, 0) and not _slot_varies(tape, operation, 1)
    if operation.name == "mm":
        return _slot_varies(tape, operation, 0) and not _slot_varies(tape, operation, 1)
    if operation.name == "addmm":
        return _slot_varies(tape, operation, 1) and len(varying(tape, operation)) == 1
    return False


def _slot_varies(tape: Tape, operation: Operation, position: int) -> bool:
    argument = operation.args[position] if position < len(operation.args) else None
    return isinstance(argument, Slot) and tape.depends[argument.index]
