"""Perceptrons with feedback: Elman's net, Jordan's, and the review's full chain I <- [H1 <- H2] <- O.

The feedback connections are the papers'; sizes and activation function are those of the perceptrons, and the input is
a photo that does not change, so that each net with zero feedback is a perceptron. (Elman and Jordan fed sequences to
small nets of logistic units.) Elman's context units start at 0, not at 0.5, and Jordan's state units have no decaying
trace.
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
