"""Our nets with a darknet file give what darknet's own rules give, in float64, boxes and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.weights.darknet_by_hand import Net as ByHand
from tests.weights.darknet_cfg import CLASSES, NAMES, cfg, narrow, narrow_row

from convatlas.nets.boxes import decode
from convatlas.nets.families.darknet import Darknet
from convatlas.weights.formats import darknet_files

SIZE = 128


@pytest.fixture(scope="module", params=NAMES)
def both(request, tmp_path_factory):
    """A narrow net filled from a file that another one wrote, a photo, and darknet by hand with the same file."""
    name = request.param
    writer, net = narrow(name, (SIZE, SIZE)), narrow(name, (SIZE, SIZE))
    path = tmp_path_factory.mktemp(name) / "net.weights"
    darknet_files.write(writer, path)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()
    darknet_files.read(path, net)
    x = torch.rand(1, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    by_hand = ByHand(cfg(net, narrow_row(name), CLASSES, (SIZE, SIZE)), path.read_bytes(), x[0].numpy())
    return net.double(), x, by_hand


def apart(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.detach().numpy().ravel() - np.asarray(theirs).ravel()).max() / np.std(theirs))


def test_the_same_numbers(both):
    net, x, by_hand = both
    with torch.no_grad():
        outputs = net.outputs(x)
    if isinstance(net, Darknet) or net.config.cell_boxes:
        assert apart(outputs["head"], by_hand.outputs[-1]) < 1e-12
    else:
        kinds = [kind for kind, _ in by_hand.layers]
        theirs = [out for kind, out in zip(kinds, by_hand.outputs, strict=True) if kind in ("yolo", "region")]
        ours = [out for name, out in outputs.items() if name.startswith("boxes") and not name.endswith("join")]
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert our.dtype == torch.float64
            assert apart(our, their) < 1e-12


def test_the_same_boxes(both):
    net, x, by_hand = both
    if isinstance(net, Darknet):
        assert by_hand.boxes == []
        return
    with torch.no_grad():
        corners, scores = decode(net, net(x), (SIZE, SIZE))
    left, top, right, bottom = corners[0].T / SIZE
    ours = torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], 1)
    theirs = np.array(by_hand.boxes)
    assert ours.shape == theirs[:, :4].shape
    assert np.abs(ours.numpy() - theirs[:, :4]).max() < 1e-12
    assert np.abs(scores[0].numpy() - theirs[:, 4:]).max() < 1e-12
