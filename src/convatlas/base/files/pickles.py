"""Read pickles without running code: opcodes are counted, and only functions in a table are called.

The opcodes are those of Python's `pickle` (protocols 0 to 5), which `pickletools` documents. A name in a pickle is
looked up in the table that the caller gives, and nowhere else; nothing is imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

MAX_OPCODES = 1_000_000
"""Most opcodes of a pickle; a checkpoint of the largest net with its optimizer has a fifth as many."""

MAX_LINE = 4096
"""Most bytes of a line: a name or a number in the text of protocol 0."""

MAX_TEXT = 64 << 20
"""Most bytes of a text."""

KEYS = (str, int, float, bool, type(None))
"""Types that a dict's keys may have: to hash or compare others could take very long."""

MAX_KEY = 2**60
"""Limit on whole numbers as keys: of larger ones, any number has the same hash (Python takes it modulo 2**61 - 1)."""


class PickleError(ValueError):
    """A pickle that is damaged, too long, or asks for more than its reader allows."""


class _Mark:
    """Start of a sequence on the stack."""


MARK = _Mark()

Builder = Callable[..., object]
"""A function that makes a value from arguments in a pickle; it must check their types, and may raise any error."""


class Global:
    """A function named in a pickle; its builder is out of the pickle's reach, and only the reader calls it."""

    __slots__ = ("builder",)

    def __init__(self, builder: Builder):
        self.builder = builder


@dataclass(frozen=True)
class Omitted:
    """An object of a pickle that is not needed; only its kind is kept."""

    kind: str


class Constant:
    """A value named in a pickle, which cannot be called."""

    __slots__ = ("value",)

    def __init__(self, value: object):
        self.value = value


class Stateful:
    """A value whose state a pickle may set after it was made."""

    def set_state(self, state: object) -> None:
        """Take the state; here it is left out."""


class PlainDict(Stateful, dict[Any, Any]):
    """A dict of any class in a pickle; attributes of such a class are left out."""


class Reader:
    """Reads one pickle after another from a file.

    Args:
        file: The file, at the first pickle.
        names: Builders and constants by "module name"; a pickle with any other name is refused.
        persistent: Returns the object of a persistent id; None to refuse such ids.
        opcodes: Most opcodes in all pickles together.
    """

    def __init__(
        self,
        file: BufferedIOBase,
        names: Mapping[str, Builder | Constant],
        persistent: Callable[[object], object] | None = None,
        opcodes: int = MAX_OPCODES,
    ):
        self.file, self.names, self.persistent, self.opcodes_left = file, names, persistent, opcodes
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Return what the next pickle holds.

        Raises:
            PickleError: It is damaged, too long, or holds more than the table allows.
        """
        self.stack, self.memo = [], {}
        try:
            while True:
                code = self.file.read(1)
                if code == b".":
                    return self._pop()
                self.opcodes_left -= 1
                if self.opcodes_left < 0:
                    raise PickleError("has too many parts")
                handler = HANDLERS.get(code)
                if handler is None:
                    raise PickleError("is damaged, or holds more than values and tensors")
                handler(self)
        except PickleError:
            raise
        # A builder may raise any error, and a damaged pickle may refer to what it lacks.
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise PickleError(f"is damaged ({type(error).__name__})") from None

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise PickleError("is damaged")
        return value

    def _since_mark(self) -> list[Any]:
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is MARK:
                items = self.stack[at + 1 :]
                del self.stack[at:]
                return items
        raise PickleError("is damaged")

    def _bytes(self, count: int) -> bytes:
        if count > MAX_TEXT:
            raise PickleError("has a text that is too long")
        # In pieces, since a count may be far larger than the file.
        parts = []
        while count > 0:
            part = self.file.read(min(count, 1 << 20))
            if not part:
                raise PickleError("ends too early")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _number(self, form: str) -> int:
        value: int = struct.unpack(form, self._bytes(struct.calcsize(form)))[0]
        if value < 0:
            raise PickleError("is damaged")
        return value

    def _line(self) -> str:
        line = self.file.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise PickleError("is damaged")
        return line[:-1].decode("utf-8")

    def _text(self, form: str) -> None:
        self.stack.append(self._bytes(self._number(form)).decode("utf-8", "surrogatepass"))

    def _raw(self, form: str) -> None:
        self.stack.append(self._bytes(self._number(form)))

    def _latin(self, form: str) -> None:
        """Text that Python 2 wrote."""
        self.stack.append(self._bytes(self._number(form)).decode("latin-1"))

    def _long(self, form: str) -> None:
        size = self._number(form)
        if size > 64:
            raise PickleError("has a number that is too long")
        self.stack.append(int.from_bytes(self._bytes(size), "little", signed=True))

    def _integer(self) -> None:
        line = self._line()
        if line in ("00", "01"):
            self.stack.append(line == "01")
            return
        line = line.removesuffix("L")
        if len(line) > 64:
            raise PickleError("has a number that is too long")
        self.stack.append(int(line))

    def _check_protocol(self) -> None:
        if self._number("<B") > 5:
            raise PickleError("is of a newer protocol")

    def _get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def _put(self, place: int) -> None:
        if self.stack[-1] is MARK:
            raise PickleError("is damaged")
        self.memo[place] = self.stack[-1]

    def _tuple(self, count: int) -> None:
        items = tuple(self._pop() for _ in range(count))[::-1]
        self.stack.append(items)

    def _append(self) -> None:
        value = self._pop()
        self._extend([value])

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleError("is damaged")
        target.extend(values)

    def _set(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if len(pairs) % 2 or not isinstance(target, dict):
            raise PickleError("is damaged")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[checked_key(key)] = value

    def _dict(self) -> None:
        pairs = self._since_mark()
        self.stack.append({})
        self._set(pairs)

    def _pair(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _add(self) -> None:
        self._since_mark()
        if not isinstance(self.stack[-1], Omitted):
            raise PickleError("is damaged")

    def _frozen(self) -> None:
        self._since_mark()
        self.stack.append(Omitted("set"))

    def _global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("is damaged")
        builder = self.names.get(f"{module} {name}")
        if builder is None:
            raise PickleError("holds more than values and tensors")
        self.stack.append(builder.value if isinstance(builder, Constant) else Global(builder))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _reduce(self) -> None:
        arguments, called = self._pop(), self._pop()
        if not isinstance(called, Global) or type(arguments) is not tuple:
            raise PickleError("is damaged")
        # A builder may copy its arguments, and a pickle may pass the same ones again and again.
        self.opcodes_left -= sum(map(_cost, arguments))
        if self.opcodes_left < 0:
            raise PickleError("has too many parts")
        self.stack.append(called.builder(*arguments))

    def _build(self) -> None:
        state, target = self._pop(), self.stack[-1]
        if isinstance(target, Stateful):
            target.set_state(state)
        elif not isinstance(target, Omitted):
            raise PickleError("holds more than values and tensors")

    def _persistent(self) -> None:
        key = self._pop()
        if self.persistent is None:
            raise PickleError("refers to what is not in it")
        self.stack.append(self.persistent(key))


def checked_key(key: Any) -> Any:
    """Return the key of a dict; raise a PickleError if it is none that can be looked up quickly."""
    if type(key) not in KEYS or (type(key) is int and abs(key) >= MAX_KEY):
        raise PickleError("has a table whose keys are not names or numbers")
    return key


def _cost(value: object) -> int:
    """Number of opcodes that a copy of a value counts as."""
    return len(value) // 1000 if isinstance(value, str | bytes) else len(value) if isinstance(value, list | dict) else 0


def _push(make: Callable[[], object]) -> Callable[[Reader], None]:
    return lambda reader: reader.stack.append(make())


HANDLERS: dict[bytes, Callable[[Reader], Any]] = {
    b"\x80": Reader._check_protocol,
    b"\x95": lambda reader: reader._number("<Q"),  # the length of a frame, which is only a hint
    b"(": _push(lambda: MARK),
    b"0": lambda reader: reader.stack.pop(),
    b"1": Reader._since_mark,
    b"2": lambda reader: reader.stack.append(reader.stack[-1]),
    b"N": _push(lambda: None),
    b"\x88": _push(lambda: True),
    b"\x89": _push(lambda: False),
    b"I": Reader._integer,
    b"L": Reader._integer,
    b"J": lambda reader: reader.stack.append(struct.unpack("<i", reader._bytes(4))[0]),
    b"K": lambda reader: reader.stack.append(reader._number("<B")),
    b"M": lambda reader: reader.stack.append(reader._number("<H")),
    b"\x8a": lambda reader: reader._long("<B"),
    b"\x8b": lambda reader: reader._long("<i"),
    b"F": lambda reader: reader.stack.append(float(reader._line())),
    b"G": lambda reader: reader.stack.append(struct.unpack(">d", reader._bytes(8))[0]),
    b"X": lambda reader: reader._text("<I"),
    b"\x8c": lambda reader: reader._text("<B"),
    b"\x8d": lambda reader: reader._text("<Q"),
    b"V": lambda reader: reader.stack.append(reader._line()),
    b"U": lambda reader: reader._latin("<B"),
    b"T": lambda reader: reader._latin("<i"),
    b"C": lambda reader: reader._raw("<B"),
    b"B": lambda reader: reader._raw("<I"),
    b"\x8e": lambda reader: reader._raw("<Q"),
    b"\x96": lambda reader: reader._raw("<Q"),
    b"]": _push(list),
    b"}": _push(dict),
    b"\x8f": _push(lambda: Omitted("set")),
    b"\x90": Reader._add,
    b"\x91": Reader._frozen,
    b")": _push(tuple),
    b"l": lambda reader: reader.stack.append(reader._since_mark()),
    b"d": Reader._dict,
    b"t": lambda reader: reader.stack.append(tuple(reader._since_mark())),
    b"\x85": lambda reader: reader._tuple(1),
    b"\x86": lambda reader: reader._tuple(2),
    b"\x87": lambda reader: reader._tuple(3),
    b"a": Reader._append,
    b"e": lambda reader: reader._extend(reader._since_mark()),
    b"s": Reader._pair,
    b"u": lambda reader: reader._set(reader._since_mark()),
    b"p": lambda reader: reader._put(int(reader._line())),
    b"q": lambda reader: reader._put(reader._number("<B")),
    b"r": lambda reader: reader._put(reader._number("<I")),
    b"\x94": lambda reader: reader._put(len(reader.memo)),
    b"g": lambda reader: reader._get(int(reader._line())),
    b"h": lambda reader: reader._get(reader._number("<B")),
    b"j": lambda reader: reader._get(reader._number("<I")),
    b"c": lambda reader: reader._global(reader._line(), reader._line()),
    b"\x93": Reader._stack_global,
    b"R": Reader._reduce,
    b"\x81": Reader._reduce,  # `cls.__new__(cls, *arguments)`: the same for what the table builds
    b"b": Reader._build,
    b"Q": Reader._persistent,
}
"""What each opcode does; all others are refused."""
