"""Metadata in an exported graph: card, labels, preprocessing. Read without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.base.files.structured import parse_json
from convatlas.engines.probabilities import probability_map_of
from convatlas.weights.lineage import Lineage

if TYPE_CHECKING:
    from torch import nn


FORMAT = "1"

GRAPH = "net.onnx"
"""Name of the ONNX file in a net's folder, in float32, which all engines that read ONNX share."""


@dataclass(frozen=True)
class Description:
    """Description of a net in the file of its graph, which is all that is needed to use it.

    Attributes:
        net: The card's name; of a net of the user its name, file or class.
        kind: Kind of the outputs, as in `Card.output_kind`; empty if unknown.
        probabilities: Name of the map from outputs to probabilities, as in `Card.probabilities`; empty if unknown.
        shape: (C, H, W) or (features,) of one input.
        lineage: Lineage of the weights, with labels and preprocessing; None for random ones.
    """

    net: str
    kind: str
    probabilities: str
    shape: tuple[int, ...]
    lineage: Lineage | None

    def metadata(self) -> dict[str, str]:
        """Return the description as strings by name, for the metadata of a file."""
        result = {
            "convatlas": FORMAT,
            "net": self.net,
            "output_kind": self.kind,
            "probabilities": self.probabilities,
            "shape": json.dumps(self.shape),
        }
        if self.lineage is not None:
            lineage = json.loads(self.lineage.to_json())
            result["labels"] = json.dumps(lineage.pop("class_names"), ensure_ascii=False)
            result["preprocessing"] = json.dumps(lineage.pop("preprocessing"))
            result["lineage"] = json.dumps(lineage, ensure_ascii=False)
        return result

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], file: str) -> Description:
        """Read the strings that `metadata` gives; `file` is its name in errors.

        Raises:
            WeightsError: convatlas did not write the metadata, or another version did.
        """
        try:
            if metadata["convatlas"] != FORMAT:
                raise WeightsError(
                    f"{file} is of format {metadata['convatlas']!r}; this version of convatlas reads {FORMAT}"
                )
            lineage = None
            if "lineage" in metadata:
                values = parse_json(metadata["lineage"])
                values["class_names"] = parse_json(metadata["labels"])
                values["preprocessing"] = parse_json(metadata["preprocessing"])
                lineage = Lineage.from_json(json.dumps(values))
            shape = tuple(int(side) for side in parse_json(metadata["shape"]))
            return cls(metadata["net"], metadata["output_kind"], metadata["probabilities"], shape, lineage)
        except WeightsError:
            raise
        except (KeyError, ValueError, TypeError, RecursionError, ConvAtlasError):
            raise WeightsError(f"{file} does not say which net it holds: convatlas did not write it") from None


def metadata_of(net: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """All metadata of a net for inputs of `shape`: its description, card and genes, as strings by name."""
    from convatlas.anatomy.measure.shape_trace import net_name
    from convatlas.nets.net import Net
    from convatlas.weights.user_weights import lineage_of

    if not isinstance(net, Net):
        lineage = lineage_of(net)
        plain = None if lineage is None else lineage.plain()
        return Description(net_name(net), "", probability_map_of(net), shape, plain).metadata()
    card = net.card
    kind = card.output_kind if net.classes else "embedding"
    description = Description(card.name, kind, probability_map_of(net), shape, net.lineage)
    genes = {field.name: getattr(net.genome, field.name) for field in dataclasses.fields(net.genome)}
    return description.metadata() | {
        "card": json.dumps(dataclasses.asdict(card), ensure_ascii=False),
        "genes": json.dumps({locus: value for locus, value in genes.items() if value is not None}, default=str),
        "follows": net.follows,
    }
