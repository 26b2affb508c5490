"""Feedback: closed forms, the delay of one step, and every way to say which arrows there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.anatomy.measure.measure import measure
from convatlas.base.errors import GeneError
from convatlas.genes.feedback import Layer, Recurrence, arrows_of
from convatlas.genes.gene import Gene
from convatlas.genes.loci import LOCI

CHAIN = (("hidden1", "input"), ("hidden2", "hidden1"), ("output", "hidden2"))
EVERYTHING = (*CHAIN, ("hidden1", "hidden1"), ("output", "input"), ("input", "input"), ("output", "output"))


def loop(arrows, steps: int = 4, act: nn.Module | None = None, seed: int = 0) -> Recurrence:
    """5 -> 4 -> 3 -> 2 in float64, with weights large enough to matter."""
    torch.manual_seed(seed)
    layers = [Layer("input", 5), Layer("hidden1", 4, act), Layer("hidden2", 3, act), Layer("output", 2, act)]
    made = Recurrence(layers, arrows, steps).double()
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.5)
    return made


def array(made: Recurrence, name: str) -> np.ndarray:
    return made.get_parameter(name).detach().numpy()


@pytest.mark.parametrize("arrows", [CHAIN, EVERYTHING, [("hidden1", "hidden1")], [("output", "hidden1")]])
def test_the_loop_is_its_unrolled_form(arrows):
    """Each state written out as a function of the step before, in numpy, from the definition."""
    made, x = loop(arrows, act=nn.Tanh()), np.random.default_rng(0).normal(size=(6, 5))
    states = {name: np.zeros((6, width)) for name, width in zip(made.names, made.widths, strict=True)}
    for _ in range(made.steps):
        back = {
            target: sum(states[source] @ array(made, f"{source}_to_{target}").T for source, t in arrows if t == target)
            for target in made.names
        }
        now = {"input": x + back["input"]}
        for below, name in zip(made.names, made.names[1:], strict=False):
            forward = now[below] @ array(made, f"{name}_weight").T + array(made, f"{name}_bias")
            now[name] = np.tanh(forward + back[name])
        states = now
    np.testing.assert_allclose(made(torch.from_numpy(x)).detach().numpy(), states["output"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_a_linear_elman_net_is_a_geometric_series(steps):
    """With the identity, h_T = (1 + V + ... + V^(T - 1)) (W x + b)."""
    torch.manual_seed(1)
    made = Recurrence([Layer("input", 5), Layer("hidden1", 4), Layer("output", 2)], [("hidden1", "hidden1")], steps)
    made, x = made.double(), torch.randn(3, 5, dtype=torch.float64)
    w, b, v = made.hidden1_weight, made.hidden1_bias, made.hidden1_to_hidden1
    series = sum(torch.linalg.matrix_power(v, power) for power in range(steps))
    expected = (x @ w.T + b) @ series.T @ made.output_weight.T + made.output_bias
    torch.testing.assert_close(made(x), expected, rtol=0, atol=1e-13)


def test_a_linear_chain_settles_where_algebra_says():
    """All states at once: s = M s_before + c, M lower forward part solved, and its fixed point after many steps."""
    made, x = loop(CHAIN, steps=400, seed=3), torch.randn(1, 5, dtype=torch.float64)
    for weight in made.parameters():
        weight.data *= 0.4
    at = np.cumsum([0, *made.widths])
    slots = {name: slice(at[number], at[number + 1]) for number, name in enumerate(made.names)}
    forward, back, constant = np.zeros((14, 14)), np.zeros((14, 14)), np.zeros(14)
    constant[slots["input"]] = x.numpy()
    for below, name in zip(made.names, made.names[1:], strict=False):
        forward[slots[name], slots[below]] = array(made, f"{name}_weight")
        constant[slots[name]] = array(made, f"{name}_bias")
    for source, target in CHAIN:
        back[slots[target], slots[source]] = array(made, f"{source}_to_{target}")
    settled = np.linalg.solve(np.eye(14) - forward - back, constant)
    np.testing.assert_allclose(made(x).detach().numpy()[0], settled[slots["output"]], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("source", "target"), EVERYTHING)
def test_an_arrow_is_delayed_by_exactly_one_step(source, target):
    """A nudge at its source reaches its target one step later: not in the same step, and not without the arrow."""
    made, x = loop([(source, target)], act=nn.Tanh()), torch.randn(2, 5, dtype=torch.float64)
    before = made.step(x, made.rest(x))
    nudged = [state + 0.1 * (name == source) for name, state in zip(made.names, before, strict=True)]
    after, moved = made.step(x, before), made.step(x, nudged)
    changed = [not torch.equal(a, b) for a, b in zip(after, moved, strict=True)]
    # The target and all layers behind it in the same step; nothing before it.
    assert changed == [made.names.index(name) >= made.names.index(target) for name in made.names]
    # The states that no arrow leaves are forgotten.
    others = [state + (name != source) for name, state in zip(made.names, before, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(after, made.step(x, others), strict=True))


def test_a_photo_shown_once_is_remembered_for_as_long_as_the_arrows_carry():
    """Output -> hidden2 -> hidden1 -> input takes three steps, one arrow a step."""
    made = loop(CHAIN, act=nn.Tanh())
    still = torch.zeros(1, 5, dtype=torch.float64)
    states, other = made.rest(still), made.rest(still)
    other[3] = other[3] + 1.0
    reached = []
    for _ in range(4):
        states, other = made.step(still, states), made.step(still, other)
        pairs = zip(made.names, states, other, strict=True)
        reached.append(next(name for name, a, b in pairs if not torch.equal(a, b)))
    assert reached == ["hidden2", "hidden1", "input", "input"]


@pytest.mark.parametrize("twin", [("elman", "mlp_300"), ("jordan", "mlp_300"), ("feedback_chain", "mlp_300_100")])
def test_without_feedback_a_recurrent_net_is_the_perceptron_bit_for_bit(twin):
    recurrent, plain = (ca.build(name).eval() for name in twin)
    for name, weight in recurrent.head.named_parameters():
        if "_to_" in name:
            nn.init.zeros_(weight)
        else:
            layer, _, part = name.rpartition("_")
            weight.data = plain.get_parameter(f"{layer.replace('output', 'head')}.dense.{part}").data
    x = torch.randn(5, 1, 28, 28)
    assert torch.equal(recurrent(x), plain(x))
    assert torch.equal(ca.build(twin[0], genes={"feedback": "none"}, seed=3)(x), ca.build(twin[1], seed=3)(x))


@pytest.mark.parametrize("name", LOCI["activation"])
def test_any_transfer_function_with_its_weights(name):
    """PReLU learns a slope for each unit; it is the loop's own parameter, and the only one a function adds."""
    net, plain = (ca.build("elman", genes={"activation": gene}) for gene in (name, "tanh"))
    added = set(dict(net.named_parameters())) - set(dict(plain.named_parameters()))
    assert added == ({"head.hidden1_act_weight", "head.output_act_weight"} if name == "prelu" else set())
    assert not list(net.head.children())
    if name == "prelu":
        assert torch.equal(net.head.hidden1_act_weight, torch.full((300,), 0.25))
        net.head.hidden1_act_weight.data.fill_(1.0)
        net.head.output_act_weight.data.fill_(1.0)
        x = torch.randn(2, 1, 28, 28)
        linear = ca.build("elman", genes={"activation": "identity"})
        linear.load_state_dict(net.state_dict(), strict=False)
        torch.testing.assert_close(net(x), linear(x))


def test_a_function_of_one_s_own_with_weights():
    def make(channels: int) -> nn.Module:
        return nn.Sequential(nn.PReLU(channels), nn.Tanh())

    own = Gene("activation", "leaning tanh", "tanh(prelu(x))", "same shape", "C", "0", "-", make)
    net, x = ca.build("elman", genes={"activation": own}), torch.randn(2, 1, 28, 28)
    net(x).sum().backward()
    assert net.head.hidden1_act_0_weight.grad.abs().sum() > 0


FORMS = [
    [("output", "hidden1"), ("hidden1", "hidden1")],
    (["hidden1", "hidden1"], ("output", "hidden1")),
    {("output", "hidden1"), ("hidden1", "hidden1")},
    ["output->hidden1", ("hidden1", "hidden1"), "output -> hidden1"],
    "output->hidden1, hidden1->hidden1",
    "hidden1 -> hidden1,output -> hidden1",
]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_arrows_in_any_form_are_one_set(form):
    assert arrows_of(form) == (("hidden1", "hidden1"), ("output", "hidden1"))
    net = ca.build("mlp_300", genes={"feedback": form})
    assert net.genome.feedback == (("hidden1", "hidden1"), ("output", "hidden1"))
    assert sum(weight.numel() for weight in net.parameters()) == 238510 + 300 * 300 + 10 * 300


def test_no_arrows_are_no_feedback():
    assert arrows_of("elman") is arrows_of(LOCI["feedback"]["elman"]) is None
    for none in ([], (), "none"):
        assert [name for name, _ in ca.build("mlp_300", genes={"feedback": none}).named_children()] == [
            "flatten",
            "hidden1",
            "head",
        ]


@pytest.mark.parametrize("wrong", [3, None, [3], [("a", "b", "c")], [("a", 1)], ["a"], "a->b->c", [None]])
def test_what_is_no_arrow_is_told_what_one_is(wrong):
    with pytest.raises(GeneError, match=r"an arrow is a pair of layers, .*'output->hidden1'; got "):
        arrows_of(wrong)


def test_a_wrong_arrow_is_told_which_exist():
    with pytest.raises(GeneError) as told:
        ca.build("linear", genes={"feedback": [("input", "output")]})
    assert str(told.value) == (
        "no arrow can lead back from 'input' to 'output'; possible are: input->input, output->input, output->output"
    )


def test_named_genes_are_sets_of_arrows():
    named = {
        "elman": [("hidden1", "hidden1"), ("hidden2", "hidden2")],
        "jordan": [("output", "hidden1")],
        "chain": CHAIN,
    }
    x = torch.randn(2, 1, 28, 28)
    for name, arrows in named.items():
        one, other = (ca.build("mlp_300_100", genes={"feedback": gene}) for gene in (name, arrows))
        other.load_state_dict(one.state_dict())
        assert set(one.head.arrows) == set(arrows)
        assert torch.equal(one(x), other(x))


def test_what_a_loop_costs():
    (_, layer) = measure("elman").layers
    assert (layer.kind, layer.locus, layer.inputs) == ("recurrence", "feedback", (1,))
    assert layer.macs == 4 * (784 * 300 + 300 * 300 + 300 * 10)
    assert layer.connections == layer.parameters == 328510
    anatomy = measure("feedback_chain")
    assert (anatomy.path, anatomy.units, anatomy.activation) == (3, 784 + 300 + 100 + 10 + 1, "scaled tanh")
    net = ca.build("elman")
    net.head.steps = 7
    assert measure(net).macs == 7 * (784 * 300 + 300 * 300 + 300 * 10)


def test_first_weights_follow_all_inputs_of_a_unit():
    net = ca.build("jordan")
    bounds = {"hidden1_weight": 794, "output_to_hidden1": 794, "hidden1_bias": 794, "output_weight": 300}
    for name, fan_in in bounds.items():
        assert 0.97 * 2.4 / fan_in < net.head.get_parameter(name).abs().max().item() <= 2.4 / fan_in


def test_an_exported_loop_answers_alike():
    net, x = ca.build("feedback_chain", seed=1).eval(), torch.randn(3, 1, 28, 28)
    graph = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("photos", min=2)},)).module()
    other = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(graph(other), net(other))
