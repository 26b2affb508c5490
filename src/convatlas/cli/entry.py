"""The entry point: it runs the command line and turns errors into one line and a status."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.quiet import quiet
from convatlas.base.terminal.stream import escaping
from convatlas.cli.app import app, command_names
from convatlas.cli.interrupts import INTERRUPTS, STATUS
from convatlas.cli.terminal import print_error


def main() -> None:
    """Run the command line; an error that a user can cause ends in one line on the error stream, and status 1 or 2."""
    codecs.register_error("convatlas", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="convatlas")
    with escaping():
        _run()


def _run() -> None:
    try:
        try:
            with quiet():
                status = app(prog_name="convatlas", standalone_mode=False)
            if status == STATUS:  # typer caught a KeyboardInterrupt
                INTERRUPTS.end()
                print_error("stopped")
            sys.exit(status)
        finally:
            # Flushed here, where an error can be reported, and not by Python at exit.
            if sys.stdout is not None:
                sys.stdout.flush()
    except ConvAtlasError as error:
        print_error(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        INTERRUPTS.end()
        print_error("stopped")
        sys.exit(STATUS)
    except OSError as error:
        # Nothing more can be written, not even by Python at exit. A closed pipe is not reported.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print_error(str(error))
        sys.exit(1)
    except Exception as error:
        # The class of a usage error is typer's or click's, depending on the version.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        # Without a message the help was printed already.
        if message := format_message():
            command = getattr(getattr(error, "ctx", None), "command_path", _typed_command())
            print_error(f"{message.rstrip('.')}; see {command} --help")
        sys.exit(2)


def _typed_command() -> str:
    """Return the command that was typed, for an error that does not say where it arose."""
    return " ".join(["convatlas", *[word for word in sys.argv[1:] if word in command_names()][:1]])


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escape characters that the output's encoding lacks as JSON does, so that JSON stays valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
