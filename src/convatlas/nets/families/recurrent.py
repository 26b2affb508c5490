"""Perceptrons with feedback: Elman's net, Jordan's, and the review's full chain I <- [H1 <- H2] <- O.

The arrows are the papers'; the sizes, the activation function and the constant photo are those of the perceptrons, so
that each net with zero feedback is one of them. (Elman and Jordan fed sequences to small nets of logistic units.)
Elman's initial context of 0.5 is 0 here, and the decaying trace in Jordan's state units is left out.
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
