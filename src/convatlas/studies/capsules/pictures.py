"""Pictures and errors of reconstructions: digits, pose sweeps, and both digits of a pair."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.nets.families.capsnet import CapsNet
from convatlas.pictures.pixels import png
from convatlas.studies.capsules.nets import NarrowCapsNet, PairCapsNet
from convatlas.studies.mosaic import mosaic
from convatlas.training.data.dataset import ImageDataset, index_batches
from convatlas.training.data.splits import Splits
from convatlas.training.run_folder import write_file

CHANGES = torch.arange(-5, 6) * 0.05
"""Changes of a number of a pose in a sweep, as in the paper's figure 4."""

MEASURED = 1000
"""Number of test photos whose reconstruction is measured."""

SHOWN = 10
"""Number of photos in a picture."""


def capsnet_of(net: nn.Module) -> CapsNet | None:
    """The CapsNet that a net of the study is or holds; None if it has no decoder, or is no CapsNet."""
    inner = net.net if isinstance(net, NarrowCapsNet) else net
    return inner if isinstance(inner, CapsNet) and hasattr(inner, "reconstruction") else None


@torch.inference_mode()
def reconstruct(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Reconstruct photos from their longest capsule, or pairs of digits from each of the two longest.

    Returns:
        Reconstructions (N, 1, H, W): one, or for pairs that of the smaller and that of the larger class.
    """
    capsnet = capsnet_of(net)
    assert capsnet is not None
    is_pair = isinstance(net, PairCapsNet)
    stages = dict(capsnet.iter_stages(x[:, :1]))
    longest = stages["head"].topk(2 if is_pair else 1, 1).indices.sort(1).values  # (N, 1 or 2)
    return [capsnet.reconstruct(stages["poses"], classes) for classes in longest.unbind(1)]


def reconstruction_error(net: nn.Module, data: Splits) -> float:
    """Squared error of the reconstruction of test digits, in percent of that of an empty photo.

    Of a pair each digit alone is compared.
    """
    assert data.test is not None
    error = blank = 0.0
    for x, _ in data.test.eval_batches(index_batches(torch.arange(min(MEASURED, len(data.test))), 100)):
        digits = [x[:, 1:2], x[:, 2:]] if x.shape[1] > 1 else [x]
        for digit, made in zip(digits, reconstruct(net, x), strict=True):
            error += float((made - digit).square().sum())
            blank += float(digit.square().sum())
    return 100 * error / blank


def reconstructions(net: nn.Module, x: Tensor) -> list[list[Tensor]]:
    """Rows of pictures: photos and their reconstructions; of pairs also each digit alone above its reconstruction."""
    made = reconstruct(net, x)
    if x.shape[1] == 1:
        return [[*x[:, 0]], [*made[0][:, 0]]]
    return [[*x[:, 0]], [*x[:, 1]], [*made[0][:, 0]], [*x[:, 2]], [*made[1][:, 0]]]


@torch.inference_mode()
def pose_sweep(net: CapsNet, x: Tensor) -> list[list[Tensor]]:
    """Rows of pictures, one for each number of the longest capsule: its reconstruction while that number changes.

    Args:
        net: The net.
        x: One photo (1, C, H, W).
    """
    stages = dict(net.iter_stages(x))
    label = stages["head"].argmax(1).expand(len(CHANGES))
    rows = []
    for number in range(stages["poses"].shape[2]):
        poses = stages["poses"].repeat(len(CHANGES), 1, 1)
        poses[:, label[0], number] += CHANGES
        rows.append([*net.reconstruct(poses, label)[:, 0]])
    return rows


def write_pictures(net: nn.Module, data: Splits, folder: Path) -> None:
    """Write reconstructions.png and, of a net for single digits, poses.png; nothing if the net has no decoder."""
    capsnet = capsnet_of(net)
    if capsnet is None or not isinstance(data.test, ImageDataset):
        return
    labels, classes = data.test.labels, len(data.classes)
    # The first test digit of each class, or the first pairs.
    firsts = [int((labels == label).nonzero()[0]) for label in range(classes) if (labels == label).any()]
    ((x, _),) = data.test.eval_batches([torch.tensor(firsts[:SHOWN])])
    write_file(folder / "reconstructions.png", png(mosaic(reconstructions(net, x))))
    if x.shape[1] == 1:
        write_file(folder / "poses.png", png(mosaic(pose_sweep(capsnet, x[-1:]))))
