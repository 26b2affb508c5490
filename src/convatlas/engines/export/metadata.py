"""Metadata in an exported graph: card, labels, preprocessing. Read without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.base.files.structured import parse_json
from convatlas.engines.probabilities import probability_map_of
from convatlas.images.steps import steps
from convatlas.weights.lineage import Lineage

if TYPE_CHECKING:
    from torch import nn


FORMAT = "2"

GRAPH = "net.onnx"
"""Name of the ONNX file in a net's folder, in float32, which all engines that read ONNX share."""

DATA = ".onnx.data"
"""Ending of the second file of an ONNX graph, which holds the weights if they are too large for one file."""


def graph_files(folder: Path) -> tuple[Path, ...]:
    """Files of the ONNX graph in a net's folder: the graph, and its weights if they have a file of their own."""
    graph = folder / GRAPH
    data = graph.with_suffix(DATA)
    return (graph, data) if data.is_file() else (graph,)


@dataclass(frozen=True)
class Description:
    """Description of a net in the file of its graph, which is all that is needed to use it.

    Attributes:
        net: The card's name; of a net of the user its name, file or class.
        kind: Kind of the outputs, as in `Card.output_kind`; empty if unknown.
        probabilities: Name of the map from outputs to probabilities, as in `Card.probabilities`; empty if unknown.
        shape: (C, H, W) or (features,) of one input.
        lineage: Lineage of the weights, with labels and preprocessing to `shape`; None for random ones.
    """

    net: str
    kind: str
    probabilities: str
    shape: tuple[int, ...]
    lineage: Lineage | None

    def metadata(self) -> dict[str, str]:
        """Return the description as JSON texts by name, for the metadata of a file."""
        result: dict[str, object] = {
            "net": self.net,
            "output_kind": self.kind,
            "probabilities": self.probabilities,
            "shape": self.shape,
        }
        if self.lineage is not None:
            lineage = json.loads(self.lineage.to_json())
            result["labels"] = lineage.pop("class_names")
            result["preprocessing"] = lineage.pop("preprocessing")
            result["preprocessing_steps"] = steps(self.lineage.preprocessing)
            result["lineage"] = lineage
        return {"convatlas": FORMAT, **json_texts(result)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], file: str) -> Description:
        """Read the texts that `metadata` gives; `file` is its name in errors.

        Raises:
            WeightsError: convatlas did not write the metadata, or another version did.
        """
        try:
            if metadata["convatlas"] != FORMAT:
                raise WeightsError(
                    f"{file} is of format {metadata['convatlas']!r}; this version of convatlas reads {FORMAT}"
                )
            values = {name: parse_json(text) for name, text in metadata.items()}
            lineage = None
            if "lineage" in values:
                parts = {"class_names": values["labels"], "preprocessing": values["preprocessing"]}
                lineage = Lineage.from_json(json.dumps(values["lineage"] | parts))
            shape = tuple(int(side) for side in values["shape"])
            return cls(values["net"], values["output_kind"], values["probabilities"], shape, lineage)
        except WeightsError:
            raise
        except (KeyError, ValueError, TypeError, RecursionError, ConvAtlasError):
            raise WeightsError(f"{file} does not say which net it holds: convatlas did not write it") from None


def metadata_of(net: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """All metadata of a net for inputs of `shape`, its description, card and genes: JSON texts by name."""
    from convatlas.anatomy.measure.shape_trace import net_name
    from convatlas.nets.net import Net
    from convatlas.weights.user_weights import lineage_of

    if not isinstance(net, Net):
        lineage = lineage_of(net)
        plain = None if lineage is None else lineage.plain().for_shape(shape)
        return Description(net_name(net), "", probability_map_of(net), shape, plain).metadata()
    card = net.card
    kind = card.output_kind if net.classes else "embedding"
    lineage = None if net.lineage is None else net.lineage.for_shape(shape)
    description = Description(card.name, kind, probability_map_of(net), shape, lineage)
    genes = {field.name: getattr(net.genome, field.name) for field in dataclasses.fields(net.genome)}
    own = {locus: value for locus, value in genes.items() if value is not None}
    facts = {"card": dataclasses.asdict(card), "genes": own, "follows": net.follows}
    return description.metadata() | json_texts(facts)


def json_texts(values: Mapping[str, object]) -> dict[str, str]:
    """JSON text of each value; of a gene that is no JSON value, its name."""
    return {name: json.dumps(value, ensure_ascii=False, default=str) for name, value in values.items()}
