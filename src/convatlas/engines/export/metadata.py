"""What a file of a net's graph says of itself: card, labels, preprocessing; read without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.weights.lineage import Lineage

if TYPE_CHECKING:
    from torch import nn

    from convatlas.nets.net import Net

FORMAT = "1"


@dataclass(frozen=True)
class Description:
    """What a graph's file says beside the graph.

    Attributes:
        net: The card's name; for a net of the user's own what it is called.
        kind: What its outputs are, as `Card.output_kind`; empty if nobody knows.
        probabilities: The map that makes probabilities of them, as `Card.probabilities`; empty if nobody knows.
        shape: (C, H, W) or (features,) of one input.
        lineage: Where the weights come from, with labels and preprocessing; None for random ones.
    """

    net: str
    kind: str
    probabilities: str
    shape: tuple[int, ...]
    lineage: Lineage | None

    def metadata(self) -> dict[str, str]:
        """The description as texts by name, fit for the metadata of a file."""
        told = {
            "convatlas": FORMAT,
            "net": self.net,
            "output_kind": self.kind,
            "probabilities": self.probabilities,
            "shape": json.dumps(self.shape),
        }
        if self.lineage is not None:
            lineage = json.loads(self.lineage.to_json())
            told["labels"] = json.dumps(lineage.pop("class_names"), ensure_ascii=False)
            told["preprocessing"] = json.dumps(lineage.pop("preprocessing"))
            told["lineage"] = json.dumps(lineage, ensure_ascii=False)
        return told


def describe(net: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """All that files say of a net for inputs of `shape`: its description, its card and its genes, as texts by name."""
    from convatlas.nets.net import Net

    if not isinstance(net, Net):
        name = getattr(getattr(net, "exported", None), "name", type(net).__name__)
        return Description(name, "", "", shape, None).metadata()
    card = net.card
    kind = card.output_kind if net.classes else "embedding"
    told = Description(card.name, kind, map_of(net), shape, net.lineage)
    genes = {field.name: getattr(net.genome, field.name) for field in dataclasses.fields(net.genome)}
    more = {
        "card": json.dumps(dataclasses.asdict(card), ensure_ascii=False),
        "genes": json.dumps({locus: value for locus, value in genes.items() if value is not None}, default=str),
        "follows": net.follows,
    }
    return told.metadata() | more


def map_of(net: Net) -> str:
    """The map that makes probabilities of what a net puts out, as `Card.probabilities`; "none" for an embedding."""
    from convatlas.nets.probabilities import OUTPUTS

    return OUTPUTS.get(str(net.genome.output), net.card.probabilities) if net.classes else "none"


def described(metadata: Mapping[str, str], file: str) -> Description:
    """What `describe` wrote.

    Raises:
        WeightsError: The metadata of `file` are others'.
    """
    try:
        if metadata["convatlas"] != FORMAT:
            raise WeightsError(f"{file} is of format {metadata['convatlas']!r}; this version reads {FORMAT}")
        lineage = None
        if "lineage" in metadata:
            whole = json.loads(metadata["lineage"])
            whole["class_names"] = json.loads(metadata["labels"])
            whole["preprocessing"] = json.loads(metadata["preprocessing"])
            lineage = Lineage.from_json(json.dumps(whole))
        shape = tuple(int(side) for side in json.loads(metadata["shape"]))
        return Description(metadata["net"], metadata["output_kind"], metadata["probabilities"], shape, lineage)
    except WeightsError:
        raise
    except (KeyError, ValueError, TypeError, RecursionError, ConvAtlasError):
        raise WeightsError(f"{file} does not say which net it holds: convatlas did not write it") from None
