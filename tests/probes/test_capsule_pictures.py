"""Pictures of class capsules: the net's own decoder draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.probes.capsule.capsule_reconstruction import CapsuleReconstruction
from convatlas.probes.capsule.pose_sweep import PoseSweep
from convatlas.probes.explain import explain
from tests.probes.capsnets import CLASSES, photo, small_capsnet, small_matrix_capsnet

X = photo()


def test_the_longest_capsule_is_reconstructed_as_the_net_does_it():
    net = small_capsnet()
    with torch.no_grad():
        outputs = net.outputs(X[None])
    result = explain(net, X, "capsule_reconstruction")
    best = int(outputs["head"].argmax())
    drawn = result.arrays["reconstructions"]
    assert drawn.shape == (CLASSES, *X.shape)
    assert np.array_equal(drawn[best], outputs["reconstruction"][0].numpy())
    assert np.allclose(result.arrays["residuals"], X[None].numpy() - drawn)
    assert result.numbers["squared error"] == pytest.approx(float((X - outputs["reconstruction"][0]).square().sum()))
    picture = result.exhibits[1]
    assert picture.name == f"reconstruction {best}"
    assert np.array_equal(picture.pixels[..., 0], np.rint(255 * outputs["reconstruction"][0, 0].numpy()))


def test_a_wrong_class_is_reconstructed_from_its_own_capsule():
    net = small_capsnet()
    with torch.no_grad():
        poses = net.outputs(X[None])["poses"]
        expected = [net.reconstruct(poses, torch.tensor([label]))[0].numpy() for label in range(CLASSES)]
    for label, result in enumerate(explain(net, X, "capsule_reconstruction", list(range(CLASSES)))):
        assert np.allclose(result.arrays["reconstructions"], np.stack(expected), atol=1e-15)
        assert result.exhibits[1].name == f"reconstruction {label}"
        assert len(result.exhibits) == 1 + 2 * CLASSES
    assert len(explain(net, X, CapsuleReconstruction(others=False), 1).exhibits) == 3


def test_a_sweep_changes_one_number_at_a_time():
    net = small_capsnet()
    result = explain(net, X, "pose_sweep", 2)
    drawn = result.arrays["reconstructions"]
    assert drawn.shape == (6, 11, *X.shape)
    assert len(result.exhibits) == 66
    with torch.no_grad():
        poses = net.outputs(X[None])["poses"]
        middle = net.reconstruct(poses, torch.tensor([2]))[0].numpy()
        poses[0, 2, 4] -= 0.25
        changed = net.reconstruct(poses, torch.tensor([2]))[0].numpy()
    assert np.allclose(drawn[:, 5], middle, atol=1e-15)
    assert np.allclose(drawn[4, 0], changed, atol=1e-15)
    assert not np.allclose(middle, changed, atol=1e-6)


@pytest.mark.parametrize("probe", ["capsule_reconstruction", "pose_sweep"])
def test_nets_that_reconstruct_nothing_are_refused(probe):
    for net, x, message in (
        (small_capsnet(decoder="none"), X, "decoder=none"),
        (small_matrix_capsnet(), photo(24, 24), "matrix_capsnet has none"),
        (ca.build("lenet5").eval(), torch.rand(1, 32, 32), "lenet5 has none"),
    ):
        with pytest.raises(ca.ConvAtlasError, match=message):
            explain(net, x, probe, 0)


@pytest.mark.parametrize("sweep", [PoseSweep(0, 0.1), PoseSweep(0.1, 0.2), PoseSweep(1, 0.001), PoseSweep(99, 1)])
def test_bad_sweeps_are_refused(sweep):
    with pytest.raises(ca.ConvAtlasError, match="1 to 100 steps"):
        explain(small_capsnet(), X, sweep, 0)
