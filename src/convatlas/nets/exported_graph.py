"""Check the graph in a file of `torch.export.save`, of which PyTorch evaluates parts as Python."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch

from convatlas.base.errors import printable
from convatlas.base.files.structured import parse_json

OPERATORS = re.compile("add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem")
"""Functions of the module `operator` in a graph, which compute with sizes."""

ROUNDINGS = re.compile("ceil|floor|trunc|sqrt")
"""Functions of the module `math`, likewise."""

SYMBOLIC = re.compile("sym_(int|float|max|min|not|sum|ite|sqrt)|_sym_sqrt")
"""Functions of `torch` itself, likewise."""

NAMESPACES = ("aten", "prims", "torchvision", "quantized_decomposed")
"""Libraries of operations; all are PyTorch's."""

REFUSED = ("aten::from_file",)
"""Operations that do more than compute: this one opens files."""

CONTROL = ("cond", "while_loop", "map_impl", "scan", "wrap_with_set_grad_enabled", "wrap_with_autocast")
"""Operations on graphs, which hold nothing but graphs."""

FUNCTIONS = re.compile(
    "Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Abs|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Identity|Where|PythonMod"
    "|(Equality|Unequality|(Strict)?(Less|Greater)Than)|ModularIndexing"
    "|(Floor|Clean|Ceil|FloatTrue|IntTrue)Div|(Ceil|Floor|Trunc|Round)ToInt|(Trunc)?ToFloat"
)
"""Functions in an expression of sizes."""

LONGEST_EXPRESSION = 2000
MOST_TERMS = 2000
"""Most terms of an expression that is multiplied out."""

CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
"""Kinds of inputs and outputs that hold others; None stands for a tensor."""

SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}", re.ASCII)
NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
IDENTIFIER = re.compile(r"[A-Za-z_]\w{0,200}", re.ASCII)


class GraphError(ValueError):
    """A graph with something that is not allowed; the text continues a sentence with the file's name."""


def checked_graph(data: bytes) -> bytes:
    """Return a graph in JSON with only what its net needs: no code, no notes of where it came from.

    Raises:
        GraphError: Something in it has another form than `torch.export.save` gives it.
    """
    try:
        program = parse_json(data)
        _check(program, "")
        program["guards_code"] = []
        program["graph_module"]["metadata"] = {}
        return json.dumps(program).encode()
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(f"has a damaged graph ({type(error).__name__})") from None
    except ValueError as error:
        raise GraphError(str(error) if isinstance(error, GraphError) else f"has a damaged graph ({error})") from None


def _check(value: Any, field: str) -> None:
    """Check a value in the graph by the name of its field."""
    if isinstance(value, str):
        check = TEXTS.get(field)
        if check is None or not check(value):
            raise GraphError(f"has {printable(value)[:60]!r} as {printable(field) or 'a value'}, which is not allowed")
    elif isinstance(value, list):
        for item in value:
            _check(item, field)
    elif isinstance(value, dict):
        if field == "metadata":
            # PyTorch looks up functions that the other notes name.
            for key in list(value):
                if key != "nn_module_stack":
                    del value[key]
        keys = KEYS.get(field)
        for key, item in value.items():
            if field in DICTS and not (keys or _is_identifier)(key):
                raise GraphError(f"has {printable(key)[:60]!r} among its {field}, which is not allowed")
            _check(item, ITEMS.get(field, key))


def _is_identifier(text: str) -> bool:
    return IDENTIFIER.fullmatch(text) is not None and not _is_special(text)


def _is_special(text: str) -> bool:
    return text.startswith("__") and text.endswith("__")


def is_path(text: str) -> bool:
    """Whether a text is the path of a module or weight, which PyTorch writes between double quotes into code."""
    return text.isprintable() and not set(text) & {'"', "\\"} and not any(map(_is_special, text.split(".")))


def _is_free(text: str) -> bool:
    """Any text: it is only printed, or passed on as a value."""
    return True


def _is_operation(target: str) -> bool:
    """Whether a text names an operation of PyTorch, or a function on sizes."""
    library, _, name = target.partition(".")
    if library in ("_operator", "math"):
        return (OPERATORS if library == "_operator" else ROUNDINGS).fullmatch(name) is not None
    if library != "torch":
        return False
    parts = name.split(".")
    if parts[0] != "ops":
        return SYMBOLIC.fullmatch(name) is not None
    if parts[1:2] == ["higher_order"]:
        return len(parts) == 3 and parts[2] in CONTROL
    if len(parts) != 4 or parts[1] not in NAMESPACES:
        return False
    operation = getattr(getattr(getattr(torch.ops, parts[1]), parts[2], None), parts[3], None)
    return isinstance(operation, torch._ops.OpOverload) and operation._schema.name not in REFUSED


def _is_expression(text: str) -> bool:
    """Whether a text is arithmetic with sizes, which SymPy would evaluate as Python."""
    if len(text) > LONGEST_EXPRESSION:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, MemoryError, RecursionError):
        return False
    return all(map(_is_arithmetic, ast.walk(tree))) and _terms(tree) <= MOST_TERMS


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return (SYMBOL.fullmatch(node.value) or NUMBER.fullmatch(node.value)) is not None
        return isinstance(node.value, bool | int | float) and abs(node.value) < 2**63
    if isinstance(node, ast.Name):
        return (SYMBOL.fullmatch(node.id) or FUNCTIONS.fullmatch(node.id)) is not None
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name):
            return False
        return node.func.id != "Pow" or (len(node.args) == 2 and _is_small_power(*node.args))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _is_small_power(node.left, node.right)
    return isinstance(node, ARITHMETIC)


ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Tuple, ast.Load, ast.keyword),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.unaryop, ast.boolop, ast.cmpop),
)
"""Further parts of an expression; a shift could make a number of any length."""


def _terms(node: ast.AST) -> int:
    """Number of terms of an expression once its products and powers are multiplied out, up to `MOST_TERMS` + 1."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    parts = node.args if isinstance(node, ast.Call) else list(ast.iter_child_nodes(node))
    counts = [_terms(part) for part in parts if isinstance(part, ast.expr)]
    if name == "Pow" or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        count: int = counts[0] ** _exponent(parts[-1])
    elif name == "Mul" or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
        count = prod(counts)
    else:
        count = sum(counts)
    return min(max(count, 1), MOST_TERMS + 1)


def _exponent(node: ast.AST) -> int:
    constants = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return next(value for value in constants if isinstance(value, int))


def _is_small_power(base: ast.expr, exponent: ast.expr) -> bool:
    """Whether a power has a plain exponent, and no power below it, which would take for ever."""
    plain = all(isinstance(node, SIMPLE) for node in ast.walk(exponent))
    numbers = [node.value for node in ast.walk(exponent) if isinstance(node, ast.Constant)]
    inside = [node for node in ast.walk(base) if isinstance(node, ast.Pow) or getattr(node, "id", "") == "Pow"]
    return plain and len(numbers) == 1 and numbers[0] in range(9) and not inside


SIMPLE = (ast.Constant, ast.Call, ast.Name, ast.Load, ast.UnaryOp, ast.USub)
"""Parts of an exponent: a number, or `Integer` of one."""


def _is_structure(text: str) -> bool:
    """Whether a text describes nested tuples, lists and dicts; PyTorch would import what others name."""
    version, structure = parse_json(text.encode())
    return version == 1 and _is_container(structure)


def _is_container(structure: Any) -> bool:
    if set(structure) != {"type", "context", "children_spec"} or structure["type"] not in CONTAINERS:
        return False
    context = structure["context"]
    if context is not None:
        keys = parse_json(context.encode())
        if not (keys is None or (isinstance(keys, list) and all(_is_key(key) for key in keys))):
            return False
    return all(map(_is_container, structure["children_spec"]))


def _is_key(key: object) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and _is_identifier(key))


TEXTS: Mapping[str, Callable[[str], bool]] = {
    **dict.fromkeys(("name", "as_name", "forward_arg_names", "verifiers", "field_names"), _is_identifier),
    **dict.fromkeys(("parameter_name", "buffer_name", "tensor_constant_name", "user_input_name"), is_path),
    **dict.fromkeys(("fqn", "nn_module_stack"), is_path),
    **dict.fromkeys(("as_string", "as_strings", "torch_version", "guards_code"), _is_free),
    **dict.fromkeys(("target", "as_operator"), _is_operation),
    **dict.fromkeys(("in_spec", "out_spec"), _is_structure),
    "expr_str": _is_expression,
    "type": _is_identifier,  # of a device
}
"""What the texts of each field may be; others have none."""

DICTS = (
    *("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values", "custom_obj_values"),
    *("range_constraints", "opset_version", "treespec_namedtuple_fields", "as_string_to_argument"),
)
"""Fields with names of the file's own."""

KEYS: Mapping[str, Callable[[str], bool]] = {"range_constraints": lambda key: SYMBOL.fullmatch(key) is not None}
"""What the names in a field are, if not identifiers."""

ITEMS = dict.fromkeys(DICTS, "value") | {"custom_obj_values": "as_custom_obj"}
"""Name by which the values of such a field are checked."""
