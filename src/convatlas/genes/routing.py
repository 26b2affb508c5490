"""Routing: which parent each capsule sends its vote to, found anew for every photo in a few rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from convatlas.genes.capsules import squash
from convatlas.genes.em_routing import VectorEM
from convatlas.genes.gene import Gene
from convatlas.genes.label import Label
from convatlas.genes.layers import SelfCounting


@dataclass(frozen=True)
class Round:
    """One round of dynamic routing.

    Attributes:
        couplings: c_ij, the share of child i that goes to parent j (N, children, parents); its sum over j is 1.
        agreements: b_ij, the sum of all agreements of the rounds before, which the couplings are made from; same shape.
        poses: v_j, the parents (N, parents, size).
    """

    couplings: Tensor
    agreements: Tensor
    poses: Tensor


class DynamicRouting(SelfCounting):
    """Routing by agreement in `steps` rounds; votes (N, `children`, parents, size) -> capsules (N, parents, size).

    c = softmax over the parents of b (0 at first), v_j = squash(sum_i c_ij vote_ij), then b_ij += <vote_ij, v_j>. The
    b are the photo's own: neither a weight nor shared in a batch. The gradient runs through all rounds, as in the
    authors' code; others stop it before the last. Votes that change sign change the sign of v and nothing else, so the
    lengths cannot tell u from -u (Peer et al. 2019). One round has c = 1 / parents: no routing at all.

    Source: Sabour, Frosst & Hinton 2017, procedure 1.
    """

    label = Label("dynamic routing", "routing")
    layers = 0
    weighs_children = False

    def __init__(self, children: int, steps: int):
        super().__init__()
        self.below, self.steps = children, steps

    def forward(self, votes: Tensor) -> Tensor:
        *_, last = self._rounds(votes)
        return last.poses

    def trace(self, votes: Tensor) -> list[Round]:
        """Every round; the last one's poses are what `forward` gives."""
        return list(self._rounds(votes))

    def _rounds(self, votes: Tensor) -> Iterator[Round]:
        agreements = votes.new_zeros(votes.shape[:3])
        for step in range(1, self.steps + 1):
            couplings = agreements.softmax(2)
            poses = squash(torch.einsum("nij,nijd->njd", couplings, votes))
            yield Round(couplings, agreements, poses)
            if step < self.steps:
                agreements = agreements + torch.einsum("nijd,njd->nij", votes, poses)

    def macs(self, shape: Sequence[int]) -> int:
        """A weighted sum of all votes in each round, and an agreement with each between rounds."""
        return (2 * self.steps - 1) * self.below * prod(shape)

    def connections(self, shape: Sequence[int]) -> int:
        """None: it has no weights."""
        return 0

    def units(self, shape: Sequence[int]) -> int:
        """None: see `connections`."""
        return 0

    def extra_repr(self) -> str:
        return f"{self.steps} rounds"


GENES = (
    Gene(
        "routing",
        "dynamic",
        "v_j = squash(sum_i c_ij u_ij), c_ij = softmax over j of sum <u_ij, v_j>",
        "(N,I,J,D) -> (N,J,D)",
        "0",
        "(2*s - 1)*I*J*D",
        "Sabour et al. 2017",
        lambda children, parents, steps: DynamicRouting(children, steps),
    ),
    Gene(
        "routing",
        "em",
        "a Gaussian for each parent, fitted to its votes by EM; a_j from how well it fits; vectors get the length a_j",
        "(N,I,J,D) -> (N,J,D)",
        "2*J",
        "(3*s - 1)*I*J*D",
        "Hinton et al. 2018",
        lambda children, parents, steps: VectorEM(children, parents, steps),
    ),
)
