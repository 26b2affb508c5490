"""Command `doctor`."""

from __future__ import annotations

from convatlas.cli.options import Json


def command(as_json: Json = False) -> None:
    """Examine this installation: machine, engines, extras, store, and what is wrong."""
    from convatlas.base.doctor import doctor

    result = doctor()
    print(result.to_json() if as_json else result)
