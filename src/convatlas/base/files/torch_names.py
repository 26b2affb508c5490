"""The functions and classes that the pickles of PyTorch's files may name, and what each becomes here.

Each row of `NAMES` allows one. Its builder gets arguments from the file, may raise any error if they do not fit, and
must only make a value: never call or import what an argument names.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.files.pickles import Builder, Constant, Omitted, PickleError, PlainDict, Stateful, checked_key

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
}
"""Types of the numbers in a storage, by the name of its class."""

NEWER_DTYPES = ("uint16", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e4m3fnuz")
"""Types of numbers without a storage class: their storages are of bytes."""


@dataclass(frozen=True)
class Stored:
    """A storage in a file: its bytes, and the type of its numbers."""

    storage: torch.UntypedStorage
    dtype: torch.dtype


@dataclass(frozen=True)
class StorageType:
    """The class of a storage."""

    dtype: torch.dtype


def _tensor(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    requires_grad: object = False,
    hooks: object = None,
    metadata: object = None,
) -> object:
    """Tensor on a storage, with every index inside of it."""
    if isinstance(storage, Omitted):
        return storage
    if not isinstance(storage, Stored):
        raise PickleError("has a tensor without numbers")
    tensor = view(storage.storage, storage.dtype, offset, size, stride)
    # PyTorch keeps a sign, or a conjugation, beside the numbers until an operation needs them.
    if isinstance(metadata, dict):
        tensor = torch._neg_view(tensor) if metadata.get("neg") else tensor
        tensor = tensor.conj() if metadata.get("conj") else tensor
    return tensor


def view(storage: torch.UntypedStorage, dtype: torch.dtype, offset: object, size: object, stride: object) -> Tensor:
    """Return a tensor on a storage.

    Raises:
        PickleError: It would reach out of the storage.
    """
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride) or len(size) > 32:
        raise PickleError("has a tensor without a shape")
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)):
        raise PickleError("has a tensor with a strange shape")
    assert isinstance(offset, int)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    count = storage.nbytes() // dtype.itemsize
    if (math.prod(size) and last >= count) or offset > count:
        raise PickleError("has a tensor that reaches out of its numbers")
    if max(math.prod(size), *size, *stride, 0) >= 2**62:
        raise PickleError("has a tensor with a strange shape")
    return torch.empty(0, dtype=dtype).set_(storage, offset, size, stride)


def _newer_tensor(storage: object, offset: object, size: object, stride: object, *rest: object) -> object:
    """Tensor of a type without a storage class; its type is the argument after the hooks."""
    dtype = rest[2]
    if not isinstance(dtype, torch.dtype):
        raise PickleError("has a tensor without a type")
    return _tensor(Stored(storage.storage, dtype) if isinstance(storage, Stored) else storage, offset, size, stride)


def _parameter(data: object, *rest: object) -> object:
    if not isinstance(data, Tensor | Omitted):
        raise PickleError("is damaged")
    return data


def _plain_dict(*arguments: object) -> PlainDict:
    """An empty dict; OrderedDict takes a list of pairs too, as old files have it."""
    table = PlainDict()
    if len(arguments) > 1:
        raise PickleError("is damaged")
    for pairs in arguments:
        if isinstance(pairs, dict):
            table.update(pairs)
        elif isinstance(pairs, list):
            for key, value in pairs:
                table[checked_key(key)] = value
        elif not isinstance(pairs, Omitted):
            raise PickleError("is damaged")
    return table


def _shape(numbers: object = ()) -> tuple[int, ...]:
    if not isinstance(numbers, tuple | list) or any(type(number) is not int for number in numbers):
        raise PickleError("is damaged")
    return tuple(numbers)


def omitted(kind: str) -> Callable[..., Omitted]:
    """Return a builder of `Omitted` values of a kind."""
    return lambda *arguments: Omitted(kind)


class NumpyType(Stateful):
    """NumPy's type of a number: "f8", "i4", ...; the pickle sets its byte order as its state."""

    def __init__(self, name: str):
        self.name, self.order = name, "<"

    def set_state(self, state: object) -> None:
        """Take the byte order."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|"):
            raise PickleError("is damaged")
        self.order = state[1]

    def number(self, data: bytes) -> int | float | bool:
        """Return the number in some bytes."""
        (number,) = struct.unpack((self.order if self.order == ">" else "<") + NUMBERS[self.name], data)
        result: int | float | bool = number
        return result


NUMBERS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d"} | {
    f"{kind}{size}": form.upper() if kind == "u" else form
    for kind in "iu"
    for size, form in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
}
"""Format for `struct` of each type of NumPy."""


def _numpy_type(name: object, *rest: object) -> object:
    """NumPy's type of a number; that of texts and objects is not needed."""
    return NumpyType(name) if isinstance(name, str) and name in NUMBERS else Omitted("type")


def _scalar(dtype: object, data: object = b"") -> object:
    """A NumPy number, as a Python number."""
    if isinstance(dtype, Omitted):
        return dtype
    if not isinstance(dtype, NumpyType) or not isinstance(data, bytes):
        raise PickleError("is damaged")
    return dtype.number(data)


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Bytes, which protocols below 3 write as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise PickleError("is damaged")
    return text.encode("latin-1")


BUILTINS = ("builtins", "__builtin__")
"""Names of Python's own module; the second is Python 2's, which protocol 2 writes, and with it `torch.save`."""

DROPPED = (
    "argparse Namespace",
    *(
        f"{module} {kind}"
        for module in BUILTINS
        for kind in ("bytearray", "complex", "frozenset", "range", "set", "slice", "xrange")
    ),
    *(f"datetime {kind}" for kind in ("date", "datetime", "time", "timedelta")),
    "decimal Decimal",
    "types SimpleNamespace",
    "uuid UUID",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer",
    *(f"pathlib {kind}" for kind in ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
    *(f"pathlib._local {kind}" for kind in ("PosixPath", "WindowsPath")),
)
"""Objects that training scripts write beside the weights; they are omitted."""

DICTIONARIES = (
    "lightning_fabric.utilities.data AttributeDict",
    "lightning.fabric.utilities.data AttributeDict",
    "pytorch_lightning.utilities.parsing AttributeDict",
)
"""Classes of dicts for options."""

NAMES: dict[str, Builder | Constant] = {
    **{name: omitted(name) for name in DROPPED},
    **dict.fromkeys(DICTIONARIES, _plain_dict),
    "collections OrderedDict": _plain_dict,
    "collections defaultdict": lambda *arguments: _plain_dict(),
    "collections deque": lambda *arguments: [],
    # What a defaultdict holds at first.
    **{
        f"{module} {kind}": Constant(Omitted("class"))
        for module in BUILTINS
        for kind in ("bool", "dict", "float", "int", "list", "str", "tuple")
    },
    "collections Counter": _plain_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _newer_tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._utils _rebuild_sparse_tensor": omitted("sparse tensor"),
    "torch._utils _rebuild_qtensor": omitted("quantized tensor"),
    "torch._utils _rebuild_nested_tensor": omitted("nested tensor"),
    "torch._utils _rebuild_meta_tensor_no_storage": omitted("tensor without numbers"),
    "torch._tensor _rebuild_from_type_v2": omitted("tensor of another class"),
    "torch Size": _shape,
    "torch device": omitted("device"),
    "torch.serialization _get_layout": omitted("layout"),
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "numpy dtype": _numpy_type,
    "_codecs encode": _encoded,
    **{f"torch {name}": Constant(StorageType(dtype)) for name, dtype in DTYPES.items()},
    "torch Tensor": Constant(Omitted("class")),
    "torch._tensor Tensor": Constant(Omitted("class")),
    "torch.nn.parameter Parameter": Constant(Omitted("class")),
    "torch.storage UntypedStorage": Constant(StorageType(torch.uint8)),
    **{
        f"torch {str(dtype).removeprefix('torch.')}": Constant(dtype)
        for dtype in (*DTYPES.values(), *(getattr(torch, name) for name in NEWER_DTYPES))
    },
    **{f"torch {name}": Constant(Omitted("scheme")) for name in ("per_tensor_affine", "per_channel_affine")},
}
"""Builder or constant of each allowed name."""
