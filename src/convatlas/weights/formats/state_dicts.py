"""Convert state_dicts between another library's nets and ours, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import find_card
from convatlas.nets.net import Net
from convatlas.weights.formats.key_mapping import Names, Renamed, Rule, name_pairs, to_ours, to_theirs
from convatlas.weights.formats.state_io import write_state
from convatlas.weights.formats.wrappers import unwrapped


@dataclass(frozen=True)
class Family:
    """How a library's nets of one family differ from ours.

    Attributes:
        variant: Fields of the nets' configurations that differ from the cards'.
        names: Names of the layers: rules (see `key_mapping`), or a function from a net to its pairs of names.
        shapes: Shapes of weights that differ from ours, as in `key_mapping.to_theirs`.
    """

    variant: Mapping[str, object]
    names: tuple[Rule, ...] | Callable[[Any], Names]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class StateDicts:
    """Converter for one library.

    Attributes:
        library: Name for error messages.
        families: How the nets differ from ours, by the family of the card.
        ignored: Prefixes of names that are skipped: auxiliary classifiers, which only training uses.
        current_name: Function from a name in a file, which may be an older one, to the current name.
    """

    library: str
    families: Mapping[str, Family]
    ignored: tuple[str, ...] = ()
    current_name: Callable[[str], str] = str

    def variant(self, net: str) -> Mapping[str, object]:
        """Fields of a net's configuration that differ from the card's."""
        return self.families[find_card(net).family].variant

    def names(self, net: Net) -> Names:
        """Pairs (their name, our name) of every layer with weights.

        Raises:
            WeightsError: The library has no such net.
        """
        if net.card.family not in self.families:
            raise WeightsError(f"{self.library} has no {net.card.name}")
        names = self.families[net.card.family].names
        return name_pairs(net, names) if isinstance(names, tuple) else names(net)

    def read(self, state: Mapping[str, Tensor], net: Net) -> Renamed:
        """Return the tensors of a file under our names, without those that wrappers and auxiliary classifiers add."""
        names = list(self.names(net))
        current = unwrapped(state, {their for their, _ in names}, self.current_name)
        kept = {key: name for key, name in current.items() if not name.startswith(self.ignored)}
        return to_ours(state, kept, names, net.state_dict())

    def write(self, net: Net, file: Path) -> None:
        """Write the state_dict that the library's net loads."""
        write_state(to_theirs(net, self.names(net), self.families[net.card.family].shapes), file)
