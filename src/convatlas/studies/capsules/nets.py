"""The nets of the study that are no nets of the atlas: narrow CapsNets, and the paper's baseline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from convatlas.nets.build import skeleton
from convatlas.nets.families.capsnet import RECONSTRUCTION, CapsNet
from convatlas.nets.initialize import initialize

QUARTER: Mapping[str, object] = {"width": 64}
"""Configuration of CapsNet with a quarter of the channels in its convolutions."""

PAIRS = tuple(combinations(range(10), 2))
"""All 45 pairs of different digits, the smaller one first."""

PAIR_SIZE = 36
"""Height and width of a photo of two digits, in pixels, as in the paper."""


class NarrowCapsNet(nn.Module):
    """CapsNet with fewer channels or units; (N, 1, H, W) -> lengths (N, 10).

    Args:
        seed: Seed of the weights.
        config: Fields of CapsNet's configuration that differ from the published ones, such as {"width": 64}.
        genes: Genes that differ from the published ones.
        size: Height and width of the photos.
    """

    probabilities = "identity"

    def __init__(
        self, seed: int, config: Mapping[str, object], genes: Mapping[str, object] | None = None, size: int = 28
    ):
        super().__init__()
        net = skeleton("capsnet", channels=1, genes=genes, size=size, variant=config)
        assert isinstance(net, CapsNet)
        initialize(net, seed)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]  # (N, 10)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all stages, as `CapsNet.outputs` does."""
        return self.net.outputs(x)

    def loss(self, outputs: Mapping[str, Tensor], x: Tensor, labels: Tensor, progress: float = 1.0) -> Tensor:
        """Return CapsNet's loss."""
        return self.net.loss(outputs, x, labels, progress)


class PairCapsNet(NarrowCapsNet):
    """A narrow CapsNet that names both of two overlapping digits.

    (N, 3, 36, 36) -> (N, 45): the sum of both digits' lengths for each of `PAIRS`. Channel 0 of a photo shows both
    digits, and is all that the net sees; channels 1 and 2 show each alone, which are the targets of its reconstruction.
    The largest sum is that of the two longest capsules.
    """

    def __init__(self, seed: int, config: Mapping[str, object]):
        super().__init__(seed, config, size=PAIR_SIZE)
        self.register_buffer("members", torch.tensor(PAIRS), persistent=False)

    members: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self._sums(self.net(x[:, :1]))  # (N, 45)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of CapsNet's stages, its lengths as "lengths", and the sums of pairs as "head"."""
        stages = dict(self.net.iter_stages(x[:, :1]))
        return stages | {"lengths": stages["head"], "head": self._sums(stages["head"])}

    def loss(self, outputs: Mapping[str, Tensor], x: Tensor, labels: Tensor, progress: float = 1.0) -> Tensor:
        """Return the margin loss with two classes present, plus the reconstruction's error for each digit alone.

        Args:
            outputs: What `outputs` returned.
            x: Photos (N, 3, 36, 36) in 0..1.
            labels: Indices of pairs (N,).
            progress: Fraction of the training that is done; the loss does not depend on it.
        """
        members, lengths = self.members[labels], outputs["lengths"]  # (N, 2), (N, 10)
        present = torch.zeros_like(lengths).scatter(1, members, 1.0)
        margins = present * (0.9 - lengths).clamp_min(0).square()
        margins = margins + 0.5 * (1 - present) * (lengths - 0.1).clamp_min(0).square()
        loss = margins.sum(1).mean()
        for place in (0, 1):
            error = self.net.reconstruct(outputs["poses"], members[:, place]) - x[:, place + 1 : place + 2]
            loss = loss + RECONSTRUCTION * error.square().sum((1, 2, 3)).mean()
        return loss

    def _sums(self, lengths: Tensor) -> Tensor:
        return lengths[:, self.members].sum(2)  # (N, 45)


class Baseline(nn.Sequential):
    """The paper's baseline: three 5 x 5 convolutions, then three dense layers; (N, 1, 28, 28) -> logits (N, 10).

    With `divisor` 1 it has 256, 256 and 128 channels, 328 and 192 units: 35.4M parameters, which is what the paper
    states, if the convolutions keep the size of the photo.

    Args:
        divisor: Divisor of all these widths.
        seed: Seed of the weights.

    Source: Sabour, Frosst & Hinton 2017, section 5.
    """

    probabilities = "softmax"

    def __init__(self, divisor: int, seed: int):
        widths = 1, *(width // divisor for width in (256, 256, 128))
        units = widths[-1] * 28 * 28, *(width // divisor for width in (328, 192))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for number in (1, 2, 3):
                layers[f"conv{number}"] = nn.Conv2d(widths[number - 1], widths[number], 5, padding=2)
                layers[f"act{number}"] = nn.ReLU()
            layers["flatten"] = nn.Flatten()
            for number in (1, 2):
                layers[f"dense{number}"] = nn.Linear(units[number - 1], units[number])
                layers[f"act{number + 3}"] = nn.ReLU()
            layers["drop"] = nn.Dropout(0.5)
            layers["dense3"] = nn.Linear(units[-1], 10)
        super().__init__(layers)
