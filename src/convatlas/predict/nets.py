"""Resolve the caller's net for classifying, embedding or detecting; refuse one that cannot do the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net, check_prepared_channels
from convatlas.nets.user_net import is_user_net
from convatlas.predict.own_embedding import without_last_layer
from convatlas.weights.files import is_weights_file
from convatlas.weights.lineage import Lineage
from convatlas.weights.load import load
from convatlas.weights.resolve import find_net, resolve
from convatlas.weights.user_weights import lineage_of


@dataclass(frozen=True)
class TrainedNet:
    """A net with trained weights, of the atlas or of the user.

    Attributes:
        module: The net.
        name: The card's name; of a net of the user its name, as `package.module:callable`.
        lineage: Lineage of its weights.
        channels: Number of channels of its inputs.
    """

    module: nn.Module
    name: str
    lineage: Lineage
    channels: int

    @classmethod
    def of(cls, module: nn.Module) -> TrainedNet:
        """Describe a net.

        Raises:
            WeightsError: Its weights are random.
        """
        lineage = lineage_of(module)
        if lineage is None:
            raise _random_weights(module)
        channels = module.channels if isinstance(module, Net) else lineage.preprocessing.channels
        return cls(module, net_name(module), lineage, channels)


def classifying_net(net: object, weights: str | None = None, genes: Mapping[str, object] | None = None) -> TrainedNet:
    """Resolve a net to classify with: a name, published weights, or a net that `load` returned or `train` trained.

    Raises:
        ConvAtlasError: It is none of these, or a detector.
        WeightsError: Its weights are random, or its classes have no names.
    """
    module = resolve(net, weights, genes)
    if isinstance(module, Net) and module.card.output_kind == "raw detector heads":
        raise ConvAtlasError(f"{module.card.name} is a detector, not a classifier: use detect")
    trained = TrainedNet.of(module)
    if not trained.lineage.class_names:
        raise WeightsError(f"this {trained.name} has no class names: its head is new or was removed")
    if len(trained.lineage.class_names) == 1:
        raise WeightsError(f"this {trained.name} has one output, and a classifier has one for each of its classes")
    return trained


def embedding_net(net: str, weights: str | None = None) -> TrainedNet:
    """Resolve a net by its name or file, and remove its last layer.

    Raises:
        ConvAtlasError: It has no last layer to remove.
        WeightsError: It has no weights.
    """
    if is_user_net(net) and not is_weights_file(net):
        trained = TrainedNet.of(resolve(net, weights))
        return replace(trained, module=without_last_layer(trained.module, trained.lineage))
    named = find_net(net, weights)
    if named is None:
        return TrainedNet.of(load(net, weights=weights, head=False))
    return TrainedNet.of(load(named.card, weights=named.weights, head=False))


def detecting_net(net: object, weights: str | None = None) -> YOLO:
    """Resolve a net to detect with: a name, or a net that `load` returned.

    Raises:
        ConvAtlasError: It is not a detector, or does not take three channels.
        WeightsError: Its weights are random, or its classes have no names.
    """
    named = find_net(net, weights)
    if named is not None and named.card.family != "yolo":
        raise _not_a_detector(named.card.name)
    module = resolve(named or net, None if named else weights)
    if not isinstance(module, YOLO):
        raise _not_a_detector(module.card.name if isinstance(module, Net) else type(module).__name__)
    if module.lineage is None:
        raise _random_weights(module)
    if not module.lineage.class_names:
        raise WeightsError(f"this {module.card.name} has no class names: its last layer is new")
    check_channels(TrainedNet.of(module))
    return module


def check_channels(net: TrainedNet, channels: int | None = None) -> None:
    """Refuse a net that does not take as many channels as preprocessing produces, by default that of its lineage."""
    check_prepared_channels(net.lineage.preprocessing.channels if channels is None else channels, net.channels)


def _not_a_detector(name: str) -> ConvAtlasError:
    return ConvAtlasError(f"{name} is not a detector; these are: {', '.join(YOLO.variants)}")


def _random_weights(net: nn.Module) -> WeightsError:
    if isinstance(net, Net):
        return WeightsError(f"{net.card.name} has random weights, whose predictions mean nothing; load it with weights")
    return WeightsError(
        f"{net_name(net)} has no weights that say how photos are prepared and what the classes are called: load it "
        "with the weights.safetensors of its training"
    )
