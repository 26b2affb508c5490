"""What is said where an operation has no rule."""

from __future__ import annotations

from convatlas.probes.tape.tape import Operation

LRP = "LRP"
"""Name of the method of relevance."""


def no_rule(method: str, operation: Operation, why: str = "") -> str:
    """One line that says which method has no rule for which operation, and what to use instead."""
    return f"{method} has no rule for {operation}{why}: use integrated_gradients"
