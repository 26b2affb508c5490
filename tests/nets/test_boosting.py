"""Boosted LeNet-4: what is skipped, and that it decides as the graph that skips nothing."""

from __future__ import annotations

import pytest
import torch

import convatlas as ca
from convatlas.nets.families.lenet import BoostedLeNet


@pytest.fixture(scope="module")
def net() -> BoostedLeNet:
    """Three nets with weights large enough to disagree."""
    made = ca.build("boosted_lenet4", seed=4).eval().double()
    torch.manual_seed(0)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    return made


def photos(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def seen(net: BoostedLeNet, x: torch.Tensor) -> dict[str, int]:
    """How many photos each net runs on in `predict`."""
    counts = dict.fromkeys(("net1", "net2", "net3"), 0)

    def note(name):
        def hook(module, inputs):
            counts[name] += len(inputs[0])

        return hook

    hooks = [getattr(net, name).register_forward_pre_hook(note(name)) for name in counts]
    net.predict(x)
    for hook in hooks:
        hook.remove()
    return counts


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.2, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_predict_is_forward_with_less_work(net, threshold, count):
    net.threshold, x = threshold, photos(count)
    found, whole = net.predict(x), net(x).detach()
    assert found.outputs.shape == whole.shape == (count, 10)
    torch.testing.assert_close(found.outputs, whole, rtol=0, atol=1e-12)
    assert torch.equal(found.classes, whole.argmax(1))
    doubtful = int((~found.skipped).sum())
    assert seen(net, x) == {"net1": count, "net2": doubtful, "net3": doubtful}
    if count:
        assert found.cost == pytest.approx(1 + 2 * doubtful / count)
    if threshold in (-1.0, 10.0):
        assert found.skipped.tolist() == [threshold < 0] * count


def test_confident_is_the_lead_of_the_largest_output(net):
    x = photos(200)
    outputs = net.outputs(x)
    ranked = outputs["net1"].detach().sort(1, descending=True).values
    lead = ranked[:, 0] - ranked[:, 1]
    net.threshold = lead.median().item()
    found = net.predict(x)
    assert torch.equal(found.skipped, lead >= net.threshold)
    assert 0.4 < found.skipped.double().mean() < 0.6
    total = outputs["net1"] + outputs["net2"] + outputs["net3"]
    expected = torch.where(found.skipped[:, None], outputs["net1"], total).detach()
    torch.testing.assert_close(found.outputs, expected, rtol=0, atol=1e-12)
    # The two ways of answering differ, so that skipping is a decision.
    assert (total.argmax(1) != outputs["net1"].argmax(1)).any()


def test_the_paper_s_cost_is_a_threshold(net):
    """1.75 nets on average: the pair runs for 0.375 of the photos."""
    x = photos(400)
    ranked = net.net1(x).detach().sort(1, descending=True).values
    net.threshold = (ranked[:, 0] - ranked[:, 1]).quantile(0.375).item()
    assert net.predict(x).cost == pytest.approx(1.75, abs=0.01)


def test_an_exported_graph_decides_alike(net):
    net.threshold = 0.4
    shapes = ({0: torch.export.Dim("photos", min=2)},)
    graph = torch.export.export(net, (photos(3),), dynamic_shapes=shapes).module()
    x = photos(50)
    found = net.predict(x)
    assert 0 < found.skipped.sum() < 50
    assert torch.equal(graph(x).argmax(1), found.classes)
    torch.testing.assert_close(graph(x).detach(), found.outputs, rtol=0, atol=1e-12)


def test_the_threshold_belongs_to_the_weights(net):
    assert ca.build("boosted_lenet4").threshold == 1.0
    net.threshold = 0.7
    other = ca.build("boosted_lenet4").double()
    other.load_state_dict(net.state_dict())
    assert other.threshold == 0.7
    assert "head.threshold" in net.state_dict()
    assert sum(weight.numel() for weight in net.parameters()) == 3 * 16_998


def test_one_class_needs_no_vote_of_confidence():
    assert not ca.build("boosted_lenet4", classes=1).eval().predict(torch.zeros(2, 1, 32, 32)).skipped.any()


def test_members_are_lenet4(net):
    x = photos(2)
    alone = ca.build("lenet4").double()
    alone.load_state_dict(net.net2.state_dict())
    assert torch.equal(alone(x), net.outputs(x)["net2"])
    assert not torch.equal(net.outputs(x)["net1"], net.outputs(x)["net2"])
