"""The command line: each command calls the public function of the same name, with the same arguments."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    # Before everything else, since the imports alone take long enough for a Ctrl-C.
    from convatlas.cli.interrupts import install

    install()
    from convatlas.cli.entry import main as run

    run()
