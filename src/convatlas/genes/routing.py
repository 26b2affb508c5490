"""Routing: assign child capsules to parent capsules by the agreement of their votes, per photo, in a few rounds."""

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
        couplings: c_ij, the fraction of child i assigned to parent j (N, children, parents); they sum to 1 over j.
        agreements: b_ij, the agreements summed over earlier rounds; the couplings are their softmax over j; same shape.
        poses: v_j, the parents (N, parents, size).
    """

    couplings: Tensor
    agreements: Tensor
    poses: Tensor


class DynamicRouting(SelfCounting):
    """Routing by agreement in `steps` rounds; votes (N, `children`, parents, size) -> capsules (N, parents, size).

    c = softmax over the parents of b (initially 0), v_j = squash(sum_i c_ij vote_ij), then b_ij += <vote_ij, v_j>. b is
    computed for each photo; it is not a weight. The gradient flows through all rounds, as in
    the authors' code; other implementations stop it before the last. Negating the votes only negates v, so lengths
    cannot distinguish u from -u (Peer et al. 2019). A single round, with c = 1 / parents, does not route.

    Source: Sabour, Frosst & Hinton 2017, procedure 1.
    """

    label = Label("dynamic routing", "routing")
    layers = 0
    needs_lengths = False

    def __init__(self, children: int, steps: int):
        super().__init__()
        self.below, self.steps = children, steps

    def forward(self, votes: Tensor) -> Tensor:
        *_, last = self._rounds(votes)
        return last.poses  # (N, parents, size)

    def trace(self, votes: Tensor) -> list[Round]:
        """Return all rounds; `forward` returns the poses of the last one."""
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
        """Return the multiply-accumulates: a weighted sum of all votes in each round, and agreements between rounds."""
        return (2 * self.steps - 1) * self.below * prod(shape)

    def connections(self, shape: Sequence[int]) -> int:
        """Return 0, because routing has no weights."""
        return 0

    def units(self, shape: Sequence[int]) -> int:
        """Return 0; see `connections`."""
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
        "a Gaussian for each parent, fitted to the votes by EM; a_j by how well it fits; a vector gets the length a_j",
        "(N,I,J,D) -> (N,J,D)",
        "2*J",
        "(3*s - 1)*I*J*D",
        "Hinton et al. 2018",
        lambda children, parents, steps: VectorEM(children, parents, steps),
    ),
)
