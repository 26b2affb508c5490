"""The program: its commands are the modules of `convatlas.cli.commands`, and public functions without such a module."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import convatlas
from convatlas.base.terminal.arguments import as_typed, set_words
from convatlas.cli import commands
from convatlas.cli.automatic import command_for


def command_names() -> list[str]:
    """Return the names of all commands: the modules of `commands`, and the public verbs that have none there."""
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    return sorted(modules | set(convatlas.VERBS) - {"list_nets"})


def load_command(name: str) -> Any:
    """Return the function of a command, or the `typer.Typer` of its subcommands."""
    if importlib.util.find_spec(f"{commands.__name__}.{name}"):
        return importlib.import_module(f"{commands.__name__}.{name}").command
    return command_for(getattr(convatlas, name))


class Commands(TyperGroup):
    """A group of commands that imports a command's module only when the command is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return command_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name; None if there is none."""
        if cmd_name not in command_names():
            return None
        command = load_command(cmd_name)
        if not isinstance(command, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(command)
            command = single
        result = get_command(command)
        result.name = cmd_name
        set_words({parameter.name: _word(parameter) for parameter in result.params if parameter.name})
        return result

    def invoke(self, ctx: Any) -> Any:
        """Run a command, whose messages name arguments as they are typed."""
        with as_typed():
            return super().invoke(ctx)


def _word(parameter: Any) -> str:
    """Return the word for a parameter of a command: the longest form of an option, or NET for an argument."""
    return str(max(parameter.opts, key=len)) if parameter.param_type_name == "option" else str(parameter.name).upper()


app = typer.Typer(
    name="convatlas",
    cls=Commands,
    help="An atlas of convolutional neural nets that you can run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"convatlas {convatlas.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An atlas of convolutional neural nets that you can run."""
