"""Remove what wrappers of a net add to the names of its weights: DistributedDataParallel, torch.compile, averaging."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor

COMPONENTS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that stand for wrappers anywhere in a net, and for no layer of any."""

COUNTER = "n_averaged"
"""Number of averaged steps in the state of `torch.optim.swa_utils.AveragedModel`."""


def unwrapped(state: Mapping[str, Tensor], known: Collection[str], current: Callable[[str], str]) -> dict[str, str]:
    """Return the name without wrappers of each weight, by its name in the file.

    Leading parts that all names share ("module.", "model.", "backbone.") are left out, as many as it takes for most
    names to be known.

    Args:
        state: The file's tensors.
        known: Names of layers, and of weights that are no layer's, in the library's own net.
        current: Function from a name in a file, which may be an older one, to the current name.
    """
    parts = {name: [part for part in name.split(".") if part not in COMPONENTS] for name in state if name != COUNTER}
    plain = {name: current(".".join(words)) for name, words in parts.items()}
    best, most = plain, _count(plain.values(), known)
    for depth in range(1, _shared(list(parts.values())) + 1):
        shorter = {name: current(".".join(words[depth:])) for name, words in parts.items()}
        if (count := _count(shorter.values(), known)) > most:
            best, most = shorter, count
    return best


def _shared(names: list[list[str]]) -> int:
    """Number of leading parts that all names share, without their last part."""
    count = 0
    for column in zip(*(words[:-1] for words in names), strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def _count(names: Collection[str], known: Collection[str]) -> int:
    return sum(name in known or name.rpartition(".")[0] in known for name in names)
