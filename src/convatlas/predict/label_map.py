"""Which of a net's outputs is the right one for each class of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from convatlas.base.errors import ConvAtlasError
from convatlas.images.labels import labels as imagenet
from convatlas.images.labels import synsets


def right_numbers(
    labels: Iterable[str], names: Sequence[str], classes: Mapping[str, str | int] | None
) -> dict[str, int]:
    """The number of the net's output for each label of the data set.

    Labels that are numbers count the net's outputs; but ImageNet's classes by their synsets, as its data sets do, for
    darknet's nets too, which put them out in another order.

    Args:
        labels: Of the data set: synsets, numbers, or names of the net's.
        names: Of the net's outputs, in their order.
        classes: What the net calls a label, by name or number, where it is called otherwise.

    Raises:
        ConvAtlasError: The net knows no such class; or `classes` is no such map.
    """
    if not isinstance(classes, Mapping | None):
        raise ConvAtlasError(f"classes are a map from the data set's names to the net's; got {classes!r:.100}")
    for label, name in (classes or {}).items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ConvAtlasError(f"a class is mapped to a name or a number; got {name!r:.100} for {label!r:.100}")
    given = {str(label): str(name) for label, name in (classes or {}).items()}
    known = {name: number for number, name in enumerate(names)}
    order = imagenet() if set(imagenet()) == known.keys() else names
    plain = {str(number): known[name] for number, name in enumerate(order)}
    known |= {synset: known[name] for synset, name in zip(synsets(), imagenet(), strict=True) if name in known}
    found, unknown = {}, []
    for label in sorted(labels):
        name = given.get(label, label)
        number = known.get(name, plain.get(name.lstrip("0") or "0") if name.isdecimal() else None)
        if number is None:
            unknown.append(name)
        else:
            found[label] = number
    if unknown:
        raise ConvAtlasError(
            f"the net has no class {unknown[0]!r:.100} ({len(unknown)} unknown in all); name classes by synset, by "
            f"number, as the net does ({', '.join(names[:3])}, ...), or give a map"
        )
    return found
