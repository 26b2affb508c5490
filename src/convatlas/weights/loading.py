"""From a name to a net with published weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import find
from convatlas.nets.building import build
from convatlas.nets.net import Net
from convatlas.weights import darknet, darknet_lineage, lite
from convatlas.weights.reading import fill, state_dict


def load(name: str, *, weights: str | None = None, genes: Mapping[str, object] | None = None) -> Net:
    """A net with published weights, in evaluation mode, on the CPU; `net.lineage` says all about them.

    Args:
        name: As in `list_nets()`, or as published.
        weights: The lineage: "lite"; the net's first one if not said. Or the path of a file of darknet's (`.weights`).
        genes: Other genes, as in `build`; those that add or change weights do not fit published ones.

    Raises:
        UnknownName: No such net or gene.
        GeneError: A gene that does not fit the net.
        WeightsError: The net has no such weights, they are not installed, damaged, or do not fit the genes.
    """
    card = find(name)
    if weights is not None and darknet.FILE.search(weights):
        return darknet_lineage.load(card, Path(weights), genes)
    if card.name not in lite.PACKAGES or weights not in (None, "lite"):
        known = ", ".join(f"{net} (lite)" for net in lite.PACKAGES)
        wanted = f"{weights} weights" if weights else "weights"
        raise WeightsError(
            f"no {wanted} of {card.name} can be loaded; these can: {known}{darknet_lineage.missing(card)}"
        )
    net = build(card.name, genes=genes)
    lineage = lite.lineage(card.name)
    found = state_dict(lite.path(card.name), lineage.sha256)
    ours = dict(lite.names(net))
    renamed = {
        f"{ours.get(layer, layer)}.{part}": tensor
        for layer, _, part, tensor in ((*key.rpartition("."), tensor) for key, tensor in found.items())
    }
    fill(net, renamed, f"the lite weights of {card.name}")
    net.lineage = lineage
    return net.eval()
