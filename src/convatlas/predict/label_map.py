"""Map the class labels of a data set to the indices of a net's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from convatlas.base.errors import ConvAtlasError
from convatlas.images.labels import labels as imagenet
from convatlas.images.labels import synsets


def class_indices(
    labels: Iterable[str], names: Sequence[str], classes: Mapping[str, str | int] | None
) -> dict[str, int]:
    """Return the index of the net's output for each label of the data set.

    A label that is a number is the index of an output. For ImageNet it counts the classes in the order of their
    synsets, as its data sets do, even for darknet's nets, whose outputs have another order.

    Args:
        labels: Labels of the data set: synsets, numbers, or class names of the net.
        names: Class names of the net's outputs, in their order.
        classes: The net's class name or number for each label that the net calls differently.

    Raises:
        ConvAtlasError: The net has no such class, or `classes` is not such a map.
    """
    if not isinstance(classes, Mapping | None):
        raise ConvAtlasError(f"classes is a mapping from the data set's class names to the net's; got {classes!r:.100}")
    for label, name in (classes or {}).items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ConvAtlasError(f"a class is mapped to a name or a number; got {name!r:.100} for {label!r:.100}")
    renamed = {str(label): str(name) for label, name in (classes or {}).items()}
    known = {name: index for index, name in enumerate(names)}
    order = imagenet() if set(imagenet()) == known.keys() else names
    numbered = {str(number): known[name] for number, name in enumerate(order)}
    known |= {synset: known[name] for synset, name in zip(synsets(), imagenet(), strict=True) if name in known}
    indices, unknown = {}, []
    for label in sorted(labels):
        name = renamed.get(label, label)
        index = known.get(name, numbered.get(name.lstrip("0") or "0") if name.isdecimal() else None)
        if index is None:
            unknown.append(name)
        else:
            indices[label] = index
    if unknown:
        raise ConvAtlasError(
            f"the net has no class {unknown[0]!r:.100} ({len(unknown)} unknown in all); name classes by synset, by "
            f"number, as the net does ({', '.join(names[:3])}, ...), or give a map"
        )
    return indices
