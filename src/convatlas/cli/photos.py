"""Output of the commands that run a net on photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from convatlas.base.tables import Table
from convatlas.cli.terminal import end_with_unread, print_error, print_table


def print_answers(
    answers: list[Any], table: Callable[[list[Any]], Table], as_json: bool, markdown: bool, csv: bool
) -> None:
    """Print the answers; name the photos that could not be read, and exit with status 3 if there are any."""
    good = [answer for answer in answers if answer.error is None]
    if as_json:
        print(json.dumps([answer.to_dict() for answer in answers], indent=1, ensure_ascii=False))
    elif good:
        print_table(table(good), False, markdown, csv)
    for answer in good:
        for note in getattr(answer, "notes", ()):
            print_error(f"{answer.photo}: {note}")
    end_with_unread(answer.error for answer in answers if answer.error is not None)
