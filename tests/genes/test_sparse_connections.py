"""Partial links: a masked dense convolution, without the kernels that the mask would hide."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.genes.convolution import ConvSpec
from convatlas.genes.genome import Genome
from convatlas.genes.loci import LOCI
from convatlas.genes.sparse_connections import LinkedConvolution, half_table
from convatlas.nets.families.lenet import C3, C3_OF_LENET4, F5, H3
from convatlas.nets.module_init import init_by_fan_in

TABLES = {
    "H3": (4, H3),
    "C3": (6, C3),
    "C3_OF_LENET4": (8, C3_OF_LENET4),
    "F5": (16, F5),
    "half": (7, half_table(7, 5)),
}


def masked(conv: LinkedConvolution) -> torch.Tensor:
    """The dense kernel, filled link by link."""
    kernel = torch.zeros(len(conv.links), conv.channels, *conv.kernel, dtype=conv.weight.dtype)
    number = 0
    for output, seen in enumerate(conv.links):
        for channel in seen:
            kernel[output, channel] = conv.weight[number]
            number += 1
    assert number == len(conv.weight)
    return kernel


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 2, 1), (1, 3, 2)])
def test_it_is_a_masked_convolution_with_its_gradients(name, stride, padding, dilation):
    torch.manual_seed(0)
    channels, links = TABLES[name]
    conv = LinkedConvolution(channels, links, (5, 5), stride, (padding, padding), dilation).double()
    x = torch.randn(2, channels, 14, 14, dtype=torch.float64, requires_grad=True)
    kernel = masked(conv).detach().requires_grad_()
    bias = conv.bias.detach().clone().requires_grad_()
    expected = F.conv2d(x, kernel, bias, stride, padding, dilation)
    there = torch.randn_like(expected)
    expected.backward(there)
    wanted, x.grad = x.grad, None
    found = conv(x)
    found.backward(there)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(conv.bias.grad, bias.grad, rtol=0, atol=1e-12)
    linked = torch.cat([kernel.grad[output, list(seen)] for output, seen in enumerate(links)])
    torch.testing.assert_close(conv.weight.grad, linked, rtol=0, atol=1e-12)


def test_its_gradient_is_the_numerical_one():
    conv = LinkedConvolution(4, H3[:3], (3, 3)).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: torch.func.functional_call(conv, {"weight": weight, "bias": bias}, (x,)),
        (x, conv.weight, conv.bias),
    )


def test_it_is_one_operation_that_counts_its_links():
    net = torch.nn.Sequential(LinkedConvolution(6, C3, (5, 5)))
    (operation,) = trace(net, torch.randn(1, 6, 14, 14))
    assert operation.is_leaf
    (layer,) = measure(net, size=14, channels=6).layers
    assert (layer.kind, layer.kernel, layer.field) == ("linked convolution", (5, 5), (5, 5))
    assert (layer.parameters, layer.macs, layer.connections) == (1516, 150_000, 151_600)


@pytest.mark.parametrize("fill", ["zeros", "reflect", "replicate", "circular"])
def test_it_pads_as_a_dense_one_does(fill):
    torch.manual_seed(0)
    made = Genome(convolution="linked", padding=fill).conv(4, 3, 3, bias=True)
    conv = made["conv"].double()
    dense = torch.nn.Conv2d(4, 3, 3, padding=1, padding_mode=fill).double()
    dense.weight.data, dense.bias.data = masked(conv).detach(), conv.bias.data
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(conv(x), dense(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "outputs"), [(1, 1), (1, 4), (2, 2), (6, 16), (16, 6), (64, 3), (7, 5)])
def test_without_a_table_half_is_seen_and_all_is_used(channels, outputs):
    links = half_table(channels, outputs)
    assert [len(set(seen)) for seen in links] == [(channels + 1) // 2] * outputs
    assert {channel for seen in links for channel in seen} == set(range(channels))
    assert all(list(seen) == sorted(seen) for seen in links)
    conv = LOCI["convolution"]["linked"].make(ConvSpec(channels, outputs, (3, 3), 1, (0, 0), 1, "zeros", False))
    assert sum(weight.numel() for weight in conv.parameters()) == 9 * outputs * ((channels + 1) // 2)


def test_first_weights_follow_the_links_of_their_unit():
    torch.manual_seed(0)
    conv = LinkedConvolution(6, C3 * 50, (5, 5))
    with torch.no_grad():
        init_by_fan_in(conv)
    for links in (3, 4, 6):
        bound = 2.4 / (links * 25)
        rows = [len(seen) == links for seen in conv.links for _ in seen]
        largest = conv.weight[torch.tensor(rows)].abs().max().item()
        assert 0.99 * bound < largest <= bound
        biases = conv.bias[torch.tensor([len(seen) == links for seen in conv.links])]
        assert 0.8 * bound < biases.abs().max().item() <= bound
    assert torch.equal(conv.table.unique(), torch.arange(len(conv.weight) + 1))


def test_tables():
    assert [sum(map(len, links)) for _, links in TABLES.values()][:4] == [20, 60, 60, 560]
    # Table 1 of LeCun et al. 1990, row by row: which maps of H3 read each map of H2.
    rows = {0: [1, 2, 3, 5, 6], 1: [2, 3, 4, 5, 6], 2: [7, 8, 9, 11, 12], 3: [8, 9, 10, 11, 12]}
    assert {row: [map_ for map_, seen in enumerate(H3, 1) if row in seen] for row in range(4)} == rows
    # Table I of LeCun et al. 1998, row by row: which maps of C3 read each map of S2.
    rows = {
        0: [0, 4, 5, 6, 9, 10, 11, 12, 14, 15],
        1: [0, 1, 5, 6, 7, 10, 11, 12, 13, 15],
        2: [0, 1, 2, 6, 7, 8, 11, 13, 14, 15],
        3: [1, 2, 3, 6, 7, 8, 9, 12, 14, 15],
        4: [2, 3, 4, 7, 8, 9, 10, 12, 13, 15],
        5: [3, 4, 5, 8, 9, 10, 11, 13, 14, 15],
    }
    assert {row: [map_ for map_, seen in enumerate(C3) if row in seen] for row in range(6)} == rows
    # LeCun et al. 1998 on that table: six maps read three neighbours, six four, three some that are apart, one all.
    assert [len(seen) for seen in C3] == [3] * 6 + [4] * 9 + [6]
    ring = [tuple(sorted((start + step) % 6 for step in range(3))) for start in range(6)]
    assert sorted(C3[:6]) == sorted(ring)
    ring = [tuple(sorted((start + step) % 6 for step in range(4))) for start in range(6)]
    assert sorted(C3[6:12]) == sorted(ring)
    assert not set(C3[12:15]) & set(ring)
    # Ours: no two maps of LeNet-4's C3 read the same, each of S2 feeds 7 or 8, each of S4 feeds 35 units of F5.
    assert len(set(C3_OF_LENET4)) == 16
    assert sorted(sum(map_ in seen for seen in C3_OF_LENET4) for map_ in range(8)) == [7] * 4 + [8] * 4
    assert [sum(map_ in seen for seen in F5) for map_ in range(16)] == [35] * 16
    assert all(len(set(seen)) == len(seen) for seen in F5)
