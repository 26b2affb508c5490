"""The command line: one command is one public function, with the same names of arguments."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys

from convatlas.base.errors import ConvAtlasError
from convatlas.cli import atlas, bulk, data, drawing, engines, photos, training, weights  # noqa: F401 - they bring the commands
from convatlas.cli.app import app as app
from convatlas.cli.terminal import complain


def main() -> None:
    """Runs the command line; what a user can cause ends in one line on the error stream, and status 1 or 2."""
    codecs.register_error("convatlas", _spelled_out)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="convatlas")
    try:
        try:
            status = app(standalone_mode=False)
            if status == 130:  # what typer makes of Ctrl-C
                complain("stopped")
            sys.exit(status)
        finally:
            # Here, where it can be told, and not by Python at the end.
            if sys.stdout is not None:
                sys.stdout.flush()
    except ConvAtlasError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("stopped")
        sys.exit(130)
    except OSError as error:
        # Nothing more may be written, not even by Python at the end. Whoever closes a pipe knows why.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            complain(str(error))
        sys.exit(1)
    except Exception as error:
        # What a wrong word or option raises has its class in typer or in click, as versions go.
        told = getattr(error, "format_message", None)
        if told is None:
            raise
        # Where there is nothing to tell, the help was printed already.
        if told():
            complain(f"{told().rstrip('.')}; see convatlas --help")
        sys.exit(2)


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """Signs that the output's encoding lacks, as JSON escapes them: what is JSON stays it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
