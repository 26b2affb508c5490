"""Ctrl-C at any moment: one line and status 130, whether the program is starting, loading modules or working."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time

import pytest

BEGUN = """
import sys
from convatlas.cli import interrupts, main
interrupts.install()
print("ready", flush=True)
main()
"""

LOST = """
import gc, sys, time
from convatlas.cli import interrupts
interrupts.install()

class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(1)

try:
    slow = Slow()
    del slow
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""

STEPPING = """
import sys, time
from convatlas.cli import interrupts
from convatlas.cli.terminal import run_steps
interrupts.install()

def steps():
{steps}

try:
    run_steps(steps(), "stepping")
except KeyboardInterrupt:
    sys.exit(130)
"""

CAUGHT = STEPPING.format(
    steps="""
    for number in range(1000):
        try:
            print("ready", flush=True)
            time.sleep(0.1)
        except BaseException:
            pass
        yield number, 1000, number
"""
)

SEARCHING = STEPPING.format(
    steps="""
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass
    time.sleep(60)
    yield 1, 1, 1
"""
)

ENDING = """
import sys, time
from convatlas.cli import interrupts
interrupts.install()

try:
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        for number in range(5):
            try:
                time.sleep(0.1)
                raise ValueError
            except ValueError:
                time.sleep(0.1)
        print("cleaned", file=sys.stderr)
except KeyboardInterrupt:
    interrupts.INTERRUPTS.end()
    time.sleep(0.5)
    sys.exit(130)
"""


def interrupted(code: str, delay: float, *words: str) -> tuple[int, str]:
    """Status of a program that got Ctrl-C some seconds after it said that it is ready, and its error stream."""
    program = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells let programs in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    time.sleep(delay)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=40)
    return program.returncode, said


BEFORE = signal.getsignal(signal.SIGINT)
"""The handler when the tests were collected: Python's own, or none where a shell runs them in the background."""


# Not 0: between its two last lines, the program above is not yet in `main`.
@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_while_it_starts_and_works(delay: float) -> None:
    assert interrupted(BEGUN, delay, "check") == (130, "convatlas: stopped\n")


@pytest.mark.parametrize("code", [LOST, CAUGHT, SEARCHING], ids=["in a destructor", "by a library", "in a long step"])
def test_one_that_was_lost(code: str) -> None:
    assert interrupted(code, 0.05) == (130, "")


def test_what_is_tidied_up_is_not_interrupted_again() -> None:
    assert interrupted(ENDING, 0.05) == (130, "cleaned\n")


def test_one_program_after_another_in_this_process() -> None:
    """The handler of the tests is still in its place."""
    gc.collect()
    assert signal.getsignal(signal.SIGINT) is BEFORE
