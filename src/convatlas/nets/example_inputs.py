"""Arguments of one forward pass of any net: given by the user, made from shapes, or those of a photo."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.base.terminal.arguments import argument, spelled
from convatlas.nets.build import Size
from convatlas.nets.net import Net
from convatlas.nets.user_net import Exported

Shapes = Sequence[int] | Sequence[Sequence[int]]
"""Shape of one input without the batch, (C, H, W) or (features,), or one such shape for each of several inputs."""

LARGEST = 2**28
"""Largest number of values of an input that is made from its shape."""

TRIED = 6
"""How many numbers of channels of inner convolutions are tried."""

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def hint() -> str:
    """Say how to give other inputs than a photo."""
    arguments = spelled("inputs=..., or input_shape=...", f"{argument('input_shape')} SIDE,...")
    return f"for other inputs than a photo give {arguments} without the batch"


@dataclass(frozen=True)
class Inputs:
    """Arguments of one forward pass.

    Attributes:
        args: Arguments by position.
        kwargs: Arguments by name.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments, in nested tuples, lists and dicts too."""
        return list(_tensors((self.args, self.kwargs)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first tensor without the batch: (C, H, W) for photos."""
        first = self.tensors[0]
        return tuple(first.shape) if _is_list_of_photos(self.args) else tuple(first.shape[1:])

    @property
    def text(self) -> str:
        """The shapes of all tensors without the batch, for messages: "3 x 224 x 224, 10"."""
        shapes = (self.shape, *(tuple(tensor.shape[1:]) for tensor in self.tensors[1:]))
        return ", ".join(" x ".join(map(str, shape)) or "one value" for shape in shapes)

    def map(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """Return the same arguments with each tensor replaced by `change(tensor)`; a tensor given twice stays one."""
        done: dict[int, Tensor] = {}

        def changed(tensor: Tensor) -> Tensor:
            if id(tensor) not in done:
                done[id(tensor)] = change(tensor)
            return done[id(tensor)]

        return Inputs(_mapped(self.args, changed), _mapped(self.kwargs, changed))

    def to(self, device: torch.device | str) -> Inputs:
        """Return the arguments on a device; tensors that are only shapes become zeros there."""
        return self.map(
            lambda tensor: (
                torch.zeros_like(tensor, device=device)
                if tensor.is_meta and torch.device(device).type != "meta"
                else tensor.detach().to(device)
            )
        )

    def filled(self, seed: int = 0) -> Inputs:
        """Return the arguments on the CPU; shapes become noise in 0..1, those of whole numbers zeros."""
        generator = torch.Generator().manual_seed(seed)

        def fill(tensor: Tensor) -> Tensor:
            if not tensor.is_meta:
                return tensor.detach().cpu()
            if not tensor.is_floating_point():
                return torch.zeros(tensor.shape, dtype=tensor.dtype)
            return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)

        return self.map(fill)

    def run(self, net: nn.Module) -> Any:
        """Return what the net returns for these arguments."""
        return net(*self.args, **self.kwargs)


def candidate_inputs(
    net: nn.Module,
    *,
    inputs: object = None,
    input_shape: Shapes | None = None,
    size: Size | None = None,
    channels: int | None = None,
) -> list[Inputs]:
    """Return the inputs that a net may take, the likeliest first; a run tells which of them it does take.

    Args:
        net: Any module.
        inputs: What the net is called with: a tensor; a tuple of several arguments; a dict, passed by keywords if its
            keys are arguments of `forward`; or a list or other object, which is one argument. All with their batch.
        input_shape: Shape of the input without the batch, or one for each of several inputs; of numbers of the type of
            the net's weights, or whole numbers if it takes none of those.
        size: Height and width of photos, or one number for both; by default those of the net, else 224.
        channels: Channels of photos; by default those of the net.

    Returns:
        One `Inputs` if the arguments or the net leave no choice, else several. Tensors made from a shape are on the
        meta device: `filled` and `to` give them values.

    Raises:
        SizeError: A shape, side or number of channels that no input can have.
        ConvAtlasError: `inputs` holds no tensor, or is given together with another argument.
    """
    choices = [inputs is not None, input_shape is not None, size is not None or channels is not None]
    if sum(choices) > 1:
        raise ConvAtlasError("give either inputs, or input_shape, or size and channels")
    if inputs is not None:
        return [_arguments(net, inputs)]
    floating = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if floating is None else floating.dtype
    if input_shape is not None:
        shapes = _shapes(input_shape)
        return [_made(shapes, dtype), _made(shapes, torch.int64)]
    return [_made([shape], dtype) for shape in dict.fromkeys(_photo_shapes(net, size, channels))]


def _arguments(net: nn.Module, inputs: object) -> Inputs:
    """Arguments from what a user gave."""
    if isinstance(inputs, Inputs):
        result = inputs
    elif isinstance(inputs, tuple):
        result = Inputs(inputs)
    elif isinstance(inputs, Mapping) and _are_keywords(net, inputs):
        result = Inputs((), dict(inputs))
    else:
        result = Inputs((inputs,))
    if not result.tensors:
        raise ConvAtlasError(f"inputs are tensors, alone or in tuples, lists and dicts; got {type(inputs).__name__}")
    return result


def _are_keywords(net: nn.Module, names: Mapping[Any, object]) -> bool:
    """Whether the keys of a dict are arguments of the net's forward pass."""
    try:
        parameters = list(inspect.signature(net.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    open_ended = [parameter for parameter in parameters if parameter.kind == parameter.VAR_KEYWORD]
    named = {parameter.name for parameter in parameters if parameter.kind not in VARIABLE}
    # A forward pass that names no argument of its own, such as that of a wrapper, takes any keyword.
    if open_ended and not named:
        return all(isinstance(name, str) for name in names)
    return all(name in named for name in names)


def _shapes(input_shape: Shapes) -> list[tuple[int, ...]]:
    """One shape for each input."""
    shapes: Any = input_shape
    if isinstance(shapes, tuple | list) and shapes and all(isinstance(part, tuple | list) for part in shapes):
        several = [tuple(shape) for shape in shapes]
    else:
        several = [tuple(shapes)] if isinstance(shapes, tuple | list) else [(shapes,)]
    for shape in several:
        # bool is an int in Python.
        if not shape or not all(type(side) is int and side >= 1 for side in shape) or prod(shape) > LARGEST:
            raise SizeError(
                "an input's shape is its sides without the batch, such as (3, 224, 224) or (1, 16000), with at most "
                f"{LARGEST} values in all; got {input_shape!r:.100}"
            )
    return several


def _photo_shapes(net: nn.Module, size: Size | None, channels: int | None) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of a photo, or of the features of a dense layer, that a net may take."""
    layers = [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    if isinstance(net, Net):
        yield _photo_shape(net.size if size is None else size, net.channels if channels is None else channels)
        return
    if isinstance(exported := getattr(net, "exported", None), Exported):
        if size is None and channels is None:
            yield exported.input
        else:
            yield _photo_shape(224 if size is None else size, exported.input[0] if channels is None else channels)
        return
    size = 224 if size is None and channels is not None else size
    if layers and isinstance(layers[0], nn.Linear) and size is None:
        yield (layers[0].in_features,)
    size = 224 if size is None else size
    if channels is not None:
        yield _photo_shape(size, channels)
        return
    counts = list(dict.fromkeys(layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)))
    # The layer defined first need not be the first to run. Grey photos come last: they broadcast to any channels.
    for count in (3, *counts[:1], *[few for few in sorted(counts[1:]) if few != 1][:TRIED], 1):
        yield _photo_shape(size, count)


def _photo_shape(size: Size, channels: int) -> tuple[int, ...]:
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    shape = (channels, *pair)
    if len(shape) != 3 or not all(type(side) is int and 1 <= side <= 8192 for side in shape):
        raise SizeError(f"a photo has 1 to 8192 pixels a side and channels; got {' x '.join(map(repr, shape))}")
    return shape


def _made(shapes: Sequence[tuple[int, ...]], dtype: torch.dtype) -> Inputs:
    return Inputs(tuple(torch.empty(1, *shape, dtype=dtype, device="meta") for shape in shapes))


def _is_list_of_photos(args: tuple[Any, ...]) -> bool:
    """Whether the first argument is a list of photos (C, H, W) without a batch, as detection nets take them."""
    first = args[0] if args else None
    return isinstance(first, list) and all(isinstance(part, Tensor) and part.ndim == 3 for part in first)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        parts = {key: _mapped(part, change) for key, part in value.items()}
        # A dictionary of another type, such as the tokens of a tokenizer, may be read by its attributes.
        return parts if type(value) is dict else _rebuilt(value, parts)
    if isinstance(value, tuple | list):
        several = [_mapped(part, change) for part in value]
        named = hasattr(value, "_fields")
        return type(value)(*several) if named else several if isinstance(value, list) else tuple(several)
    return value


def _rebuilt(value: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    kind: Any = type(value)
    try:
        return kind(parts)
    # The constructor of a user's own type may take anything.
    except Exception:
        return parts
