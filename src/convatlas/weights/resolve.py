"""Resolve the arguments `net` and `weights` of the public functions to a card, weights and a net."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, UnknownName, WeightsError
from convatlas.base.verbs import path_text
from convatlas.catalogue.cards import Card, find_card
from convatlas.catalogue.lineages import Weights
from convatlas.weights.registry import choose

if TYPE_CHECKING:
    from torch import nn

RANDOM = "none"
"""Value of `weights` for random weights."""


@dataclass(frozen=True)
class NamedNet:
    """A net of the catalogue with its weights, found by name. Needs no torch.

    Attributes:
        card: The net.
        weights: Its published weights, the path of a file, or "none" for random weights.
    """

    card: Card
    weights: Weights | str

    @property
    def published(self) -> Weights | None:
        """Its published weights; None if they are a file or random."""
        return self.weights if isinstance(self.weights, Weights) else None


def find_net(net: object, weights: str | os.PathLike[str] | None = None) -> NamedNet | None:
    """Find a net by its name; None if `net` is the path of a file, a net of the user, or a module.

    Args:
        net: The argument `net` of a public function, see `resolve`.
        weights: Weights of a net by its name, as in `load`; "none" for random ones.

    Raises:
        UnknownName: No net has this name.
        WeightsError: The net has no such weights.
    """
    if isinstance(net, NamedNet):
        return net
    if not isinstance(net, str):
        return None
    try:
        card = find_card(net)
    except UnknownName:
        # Paths and `package.module:callable` contain a dot or a colon, names of nets do not.
        if {".", ":"} & set(net):
            return None
        raise
    if weights == RANDOM:
        return NamedNet(card, RANDOM)
    name = None if weights is None else path_text(weights)
    try:
        return NamedNet(card, choose(card, name))
    except WeightsError:
        from convatlas.weights.files import is_weights_file

        if name is not None and is_weights_file(name):
            return NamedNet(card, name)
        raise


def resolve(
    net: object, weights: str | os.PathLike[str] | None = None, genes: Mapping[str, object] | None = None
) -> nn.Module:
    """Return the net that `net` and `weights` stand for; in evaluation mode if it is loaded or built here.

    Args:
        net: The name of a net, the path of a file that `export` wrote, `package.module:callable`, the path of a .pt2
            file, what `find_net` returned, or any module, which is returned as it is.
        weights: Weights of a net by its name: a lineage or a file, as in `load`; "none" for random ones. For a net of
            the user a file; without one it has the weights that it is made with.
        genes: Genes to change in a net of the atlas that is given by name or file, as in `build`.

    Raises:
        ConvAtlasError: As in `load`, `build` and `load_user_net`; or weights or genes are given for a net that has its
            own.
    """
    from torch import nn

    from convatlas.nets.build import build
    from convatlas.nets.user_net import is_user_net, load_user_net
    from convatlas.weights.files import is_weights_file
    from convatlas.weights.load import load

    if isinstance(net, nn.Module):
        if weights is not None:
            raise ConvAtlasError("weights go with a net's name: a net from `load` has its own")
        if genes:
            raise ConvAtlasError("genes go with a net's name: a net from `load` has its own")
        return net
    if isinstance(net, str) and is_user_net(net) and not is_weights_file(net):
        if genes:
            raise ConvAtlasError("genes can be changed in nets of the atlas only, not in your own net")
        return load_user_net(net).eval() if weights in (None, RANDOM) else load(net, weights=weights)
    named = find_net(net, weights)
    if named is None:
        if not isinstance(net, str | os.PathLike):
            raise ConvAtlasError(f"a net is a name, or a net from `load`, not {type(net).__name__}")
        return load(net, weights=weights, genes=genes)
    if named.weights == RANDOM:
        return build(named.card.name, genes=genes).eval()
    return load(named.card, weights=named.weights, genes=genes)
