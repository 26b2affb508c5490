"""Auxiliary classifiers: heads beside the trunk whose losses help to train it; they do not run at inference."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convatlas.genes.gene import Gene, Maker, chain
from convatlas.genes.layers import Dense

HIDDEN = 1024
"""Units of the hidden layer."""


def _auxiliary_classifier(features: int, classes: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    return chain(
        dense1=Dense(features, HIDDEN), act=activation(HIDDEN), drop=nn.Dropout(0.7), dense=Dense(HIDDEN, classes)
    )


def _gene(name: str, formula: str, shape: str, source: str, make: Maker, parameters: str, macs: str) -> Gene:
    return Gene("auxiliary", name, formula, shape, parameters, macs, source, make)


GENES = (
    _gene("none", "-", "-", "-", lambda features, classes, activation: nn.Identity(), "0", "0"),
    _gene(
        "heads",
        "W2 drop(act(W1 x)), x a pooled, reduced and flattened map of the trunk; 1024 hidden units, dropout 0.7",
        "(N,F) -> (N,K)",
        "Szegedy et al. 2015",
        _auxiliary_classifier,
        "1024*F + 1024 + 1024*K + K",
        "1024*F + 1024*K",
    ),
)
