"""One module for each command, named after it; `command` in it is the function, or a `typer.Typer` of subcommands."""
