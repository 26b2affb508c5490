"""Matrix capsules: a pose matrix of 4 x 4 numbers and a separate activation (Hinton, Sabour & Frosst 2018).

A map of them is one tensor (N, types, 17, H, W): the pose, row by row, then the activation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.em_routing import EMRound, EMRouting, Windows
from convatlas.genes.label import Label
from convatlas.genes.layers import Convolution

SIDE = 4
POSE = SIDE * SIDE


class PrimaryConvolution(Convolution):
    """A 1 x 1 convolution without biases from maps to `types` capsules; (N, C, H, W) -> (N, types 17, H, W).

    Weights initially have standard deviation 0.5 for poses and 3 for activations, as in the authors' code.
    """

    def __init__(self, channels: int, types: int):
        super().__init__(channels, types * (POSE + 1), 1, bias=False)

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        nn.init.normal_(self.weight, std=0.5)
        with torch.no_grad():
            self.weight[POSE :: POSE + 1].mul_(6)


class MatrixCapsules(nn.Module):
    """Reshape maps to capsules, whose activation is logistic(x - 1), as in the authors' code.

    (N, types 17, H, W) -> (N, types, 17, H, W).
    """

    label = Label("capsules of maps", "routing")

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        capsules = x.reshape(batch, -1, POSE + 1, height, width)  # (N, types, 17, H, W)
        return torch.cat([capsules[:, :, :POSE], (capsules[:, :, POSE:] - 1).sigmoid()], 2)


class MatrixVotes(nn.Module):
    """Votes: each child's pose times a matrix, one for each child type, parent type and place in the window.

    (N, B, 17, H, W) -> (N, windows, places, B, J, 16). The last layer, whose window is the whole map, has `centres`:
    the vertical and horizontal coordinates of the places, in 0..1 of the photo. All places then share their matrices,
    and the coordinates are added to the first two numbers of each vote's last column ("coordinate addition").

    There are places B J 16 parameters (B J 16 if shared), initially with deviation 0.3, as in the authors' code.
    """

    label = Label("capsule votes", "convolution")

    def __init__(
        self, types: int, parents: int, windows: Windows, centres: tuple[list[float], list[float]] | None = None
    ):
        super().__init__()
        self.windows, self.centres = windows, centres
        places = 1 if centres else windows.kernel[0] * windows.kernel[1]
        self.weight = nn.Parameter(torch.empty(places, types, parents, SIDE, SIDE))
        if centres:
            shape = len(centres[0]) * len(centres[1]), 1, 1, SIDE, SIDE
            self.register_buffer("offset", torch.empty(shape), persistent=False)

    offset: Tensor

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.3)
        if self.centres:
            nn.init.zeros_(self.offset)
            coordinates = torch.cartesian_prod(
                *(torch.tensor(sides, dtype=self.offset.dtype) for sides in self.centres)
            )
            self.offset[:, 0, 0, :2, -1] = coordinates

    def forward(self, x: Tensor) -> Tensor:
        places = self.windows.kernel[0] * self.windows.kernel[1]
        patches = F.unfold(x[:, :, :POSE].flatten(1, 2), self.windows.kernel, stride=self.windows.stride)
        poses = patches.reshape(x.shape[0], -1, SIDE, SIDE, places, patches.shape[2])  # (N, B, 4, 4, places, windows)
        weight = self.weight.expand(places, -1, -1, -1, -1)
        votes = torch.einsum("nbikpl,pbjkm->nlpbjim", poses, weight)
        return (votes + self.offset if self.centres else votes).flatten(5)  # (N, windows, places, B, J, 16)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]} types -> {self.weight.shape[2]} types, {self.windows}"


class MatrixRouting(EMRouting):
    """EM routing of matrix capsules; votes (N, L, P, B, J, 16), children (N, B, 17, H, W) -> (N, J, 17, H', W')."""

    def forward(self, votes: Tensor, children: Tensor) -> Tensor:  # type: ignore[override]
        poses, activations = super().forward(votes, self._placed(children))
        capsules = torch.cat([poses, activations.unsqueeze(-1)], -1)  # (N, windows, J, 17)
        batch, _, parents, size = capsules.shape
        return capsules.permute(0, 2, 3, 1).reshape(batch, parents, size, *self.windows.positions)

    def pose(self, shape: Sequence[int]) -> int:
        """Return 16, the size of the pose in the 17 numbers of a capsule."""
        return POSE

    def trace(self, votes: Tensor, children: Tensor) -> list[EMRound]:
        """Return all rounds."""
        return super().trace(votes, self._placed(children))

    def _placed(self, children: Tensor) -> Tensor:
        """Return the activations of the children at each place of each window (N, windows, places, B)."""
        places = self.windows.kernel[0] * self.windows.kernel[1]
        activations = children[:, :, POSE].flatten(2)[:, :, self.places // self.read.shape[1]]
        batch, types, _ = activations.shape
        return activations.reshape(batch, types, -1, places).permute(0, 2, 3, 1)


class Activations(nn.Module):
    """Activations of the capsules of a map with one position; (N, J, 17, 1, 1) -> (N, J)."""

    label = Label("activations", "routing")

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, POSE, 0, 0]  # (N, J)
