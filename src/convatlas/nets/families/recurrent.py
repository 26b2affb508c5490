"""Perceptrons with feedback: Elman's net, Jordan's, and the review's full chain I <- [H1 <- H2] <- O.

The arrows are the papers'; the sizes, the transfer function and the still photo are the perceptron's, so that each net
with its feedback at zero is one of them (Elman and Jordan fed small nets with sequences, through logistic units).
Left out as well: Elman's context of 0.5 at the start, 0 here, and the decaying trace that Jordan's state units keep.
"""

from __future__ import annotations

from convatlas.nets.families.perceptron import Config, Perceptron


class Recurrent(Perceptron):
    """A perceptron whose published genome has feedback."""

    variants = {
        "elman": Config((300,), "elman"),
        "jordan": Config((300,), "jordan"),
        "feedback_chain": Config((300, 100), "chain"),
    }
