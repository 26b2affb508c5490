"""Make a command from a public function: from its signature the arguments, from its docstring the help."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from convatlas.cli.options import Json
from convatlas.cli.terminal import run_steps

PLAIN = (bool, int, float, str)


def command_for(function: Callable[..., Any]) -> Callable[..., None]:
    """Make the command of a function whose parameters are numbers, texts, paths, switches, or sequences of them.

    Parameters without a default become arguments, all others options; those of other types are left out. The result is
    printed, as JSON with --json.
    """
    hints = typing.get_type_hints(function, localns=vars(typing) | {"Path": Path, "Sequence": Sequence})
    helps = _argument_helps(inspect.getdoc(function) or "")
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        kind = _option_type(hints[parameter.name])
        if kind is None:
            continue
        help = helps.get(parameter.name, "")
        required = parameter.default is inspect.Parameter.empty
        option = typer.Argument(help=help) if required else typer.Option(help=help)
        parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option]))
    as_json = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)

    def command(*, as_json: bool, **arguments: Any) -> None:
        steps = getattr(function, "steps", None)
        result = function(**arguments) if steps is None else run_steps(steps(**arguments), function.__name__)
        print(result.to_json() if as_json else result)

    described: Any = command
    described.__signature__ = inspect.Signature([*parameters, as_json])
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, as_json]}
    described.__doc__ = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return command


def _option_type(hint: Any) -> Any:
    """Return the type of the option for a parameter with a type hint; None if no option can give its value."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for member in members:
        kind = str if member is Path else member
        if typing.get_origin(member) in (Sequence, list) and typing.get_args(member)[0] in PLAIN:
            kind = list[typing.get_args(member)[0]]  # type: ignore[misc]
        elif kind not in PLAIN:
            continue
        return kind | None if type(None) in members else kind
    return None


def _argument_helps(docstring: str) -> dict[str, str]:
    """Return the texts below "Args:" in a docstring, by parameter."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section[1] if section else "", re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
