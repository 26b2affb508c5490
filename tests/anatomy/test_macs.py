"""Multiply-accumulates against closed forms, and against a count of every single product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import convatlas as ca


class Function(nn.Module):
    """A function of the photo."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def macs(net: nn.Module | Callable[[Tensor], Tensor], channels: int = 3, size: int | tuple[int, int] = (6, 8)) -> int:
    return ca.measure(net if isinstance(net, nn.Module) else Function(net), size=size, channels=channels).macs


def ones(x: Tensor, *shape: int) -> Tensor:
    return torch.ones(shape, device=x.device)


# The photo is (1, 3, 6, 8); a product of an (m, k) and a (k, n) matrix takes m k n.
PRODUCTS: list[tuple[Callable[[Tensor], Tensor], int]] = [
    (lambda x: x @ ones(x, 8, 5), 3 * 6 * 8 * 5),
    (lambda x: torch.matmul(input=x, other=ones(x, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: x.matmul(ones(x, 8)), 3 * 6 * 8),
    (lambda x: x.__rmatmul__(ones(x, 5, 6)), 3 * 5 * 6 * 8),
    (lambda x: torch.mm(x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.mm(x[0, 0], mat2=ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.bmm(x[0], ones(x, 3, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.mv(x[0, 0], ones(x, 8)), 6 * 8),
    (lambda x: torch.dot(x[0, 0, 0], ones(x, 8)), 8),
    (lambda x: torch.vdot(x[0, 0, 0], ones(x, 8)), 8),
    (lambda x: torch.linalg.matmul(x, ones(x, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.linalg.vecdot(x, ones(x, 8)), 3 * 6 * 8),
    (lambda x: torch.inner(x, ones(x, 5, 8)), 3 * 6 * 5 * 8),
    (lambda x: torch.addmm(ones(x, 5), x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.addmv(ones(x, 6), x[0, 0], ones(x, 8)), 6 * 8),
    (lambda x: torch.baddbmm(ones(x, 1), x[0], ones(x, 3, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.addbmm(ones(x, 1), x[0], batch2=ones(x, 3, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.tensordot(x, ones(x, 6, 8, 5), dims=2), 3 * 6 * 8 * 5),
    (lambda x: torch.tensordot(x, ones(x, 4, 6), dims=([2], [1])), 3 * 8 * 6 * 4),
    (lambda x: F.linear(x, ones(x, 5, 8)), 3 * 6 * 8 * 5),
    (lambda x: F.linear(input=x, weight=ones(x, 5, 8), bias=ones(x, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.einsum("nchw,wk->nchk", x, ones(x, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.einsum("...hw,wk", x, ones(x, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.einsum("n c ..., c k -> n k ...", x, ones(x, 3, 5)), 3 * 6 * 8 * 5),
    (lambda x: torch.einsum("...hw,...kw->...hk", x, ones(x, 1, 5, 8)), 3 * 6 * 5 * 8),
    (lambda x: torch.einsum("...hw,...kw->...hk", ones(x, 1, 1, 5, 8), x), 3 * 6 * 5 * 8),
    (lambda x: torch.einsum("nchw,wk->nchk", [x, ones(x, 8, 5)]), 3 * 6 * 8 * 5),
    (lambda x: torch.einsum(x, [0, 1, 2, 3], ones(x, 8, 5), [3, 4], [0, 1, 2, 4]), 3 * 6 * 8 * 5),
    # What only turns or sums is none.
    (lambda x: torch.einsum("nchw->nhwc", x), 0),
    (lambda x: torch.einsum("nchw->nc", x), 0),
    (lambda x: x * x + x.mean() / 2 - torch.relu(x).softmax(1), 0),
    (lambda x: F.layer_norm(x, (8,)), 0),
    (lambda x: F.avg_pool2d(x, 2), 0),
    (lambda x: F.interpolate(x, scale_factor=2), 0),
]


@pytest.mark.parametrize("number", range(len(PRODUCTS)))
def test_products_of_matrices(number: int) -> None:
    run, expected = PRODUCTS[number]
    assert macs(run) == expected


@pytest.mark.parametrize(
    "run",
    [
        lambda x: F.scaled_dot_product_attention(x, ones(x, 1, 3, 5, 8), ones(x, 1, 3, 5, 7)),
        lambda x: F.scaled_dot_product_attention(query=x, key=ones(x, 1, 3, 5, 8), value=ones(x, 1, 3, 5, 7)),
        lambda x: (x @ ones(x, 1, 3, 8, 5)).softmax(-1) @ ones(x, 1, 3, 5, 7),
    ],
)
def test_attention_is_the_same_however_it_is_written(run: Callable[[Tensor], Tensor]) -> None:
    """Each of the 6 queries times 5 keys of 8 numbers, and 5 weights times 7 numbers of the values; in 3 heads."""
    assert macs(run) == 3 * 6 * 5 * 8 + 3 * 6 * 5 * 7


class Attention(nn.Module):
    def __init__(self, **options: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)

    def forward(self, x: Tensor) -> Tensor:
        query = x[0].transpose(0, 1)  # (6, 3, 8)
        key = ones(x, 5, 3, self.attention.kdim)
        return self.attention(query, key, ones(x, 5, 3, self.attention.vdim))[0]


@pytest.mark.parametrize("options", [{}, {"kdim": 4, "vdim": 3}])
def test_attention_of_several_heads(options: dict[str, int]) -> None:
    keys, values = options.get("kdim", 8), options.get("vdim", 8)
    projections = 3 * (6 * 8 * 8 + 5 * keys * 8 + 5 * values * 8 + 6 * 8 * 8)
    anatomy = ca.measure(Attention(**options), size=(6, 8), channels=3)
    assert anatomy.macs == projections + 2 * 3 * 6 * 5 * 8
    # The projections' weights and biases stand in the one row.
    assert anatomy.layers[-1].trainable == anatomy.trainable == 8 * (8 + keys + values + 8) + 4 * 8


class Sequence(nn.Module):
    """A recurrent layer over the photo's rows; its steps are the pixels of a row."""

    def __init__(self, layer: nn.Module, packed: bool = False) -> None:
        super().__init__()
        self.layer, self.packed = layer, packed

    def forward(self, x: Tensor) -> Tensor:
        steps = x[0].permute(2, 1, 0)  # (steps, N, C)
        if self.packed:
            lengths = torch.tensor([8, 5, 5, 3, 2, 1])
            return self.layer(nn.utils.rnn.pack_padded_sequence(steps, lengths))[0].data
        return self.layer(steps)[0]


def gates(layer: int, width: int, output: int | None = None) -> int:
    """Weights of one gate's two matrices: from the input (3 numbers, or both directions below) and from the state."""
    output = output or width
    return width * (3 if layer == 0 else 2 * output) + width * output


@pytest.mark.parametrize(
    ("layer", "each_step"),
    [
        (nn.LSTM(3, 20), 4 * gates(0, 20)),
        (nn.LSTM(3, 20, bias=False), 4 * gates(0, 20)),
        (nn.LSTM(3, 20, proj_size=5), 4 * gates(0, 20, 5) + 20 * 5),
        (nn.LSTM(3, 20, 2, bidirectional=True), 2 * 4 * (gates(0, 20) + gates(1, 20))),
        (nn.GRU(3, 20), 3 * gates(0, 20)),
        (nn.GRU(3, 20, 2, bidirectional=True), 2 * 3 * (gates(0, 20) + gates(1, 20))),
        (nn.RNN(3, 20), gates(0, 20)),
        (nn.RNN(3, 20, nonlinearity="relu"), gates(0, 20)),
    ],
    ids=str,
)
def test_recurrent_layers_count_at_every_step(layer: nn.Module, each_step: int) -> None:
    anatomy = ca.measure(Sequence(layer), size=(6, 8), channels=3)
    assert anatomy.macs == 6 * 8 * each_step
    assert anatomy.uncounted == ()
    # The six sequences have 24 steps in all.
    packed = ca.measure(Sequence(layer, packed=True), size=(6, 8), channels=3)
    assert packed.macs == 24 * each_step


def test_an_lstm_over_a_sequence_of_256() -> None:
    assert ca.measure(Sequence(nn.LSTM(3, 20)), size=(1, 256), channels=3).macs == 471_040


@pytest.mark.parametrize(
    ("cell", "each_step"),
    [(nn.LSTMCell(3, 20), 4 * gates(0, 20)), (nn.GRUCell(3, 20), 3 * gates(0, 20)), (nn.RNNCell(3, 20), gates(0, 20))],
    ids=str,
)
def test_cells_of_recurrent_layers(cell: nn.Module, each_step: int) -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            state = self.cell(x[0, :, :, 0].T)  # (6, 3)
            return state[0] if isinstance(state, tuple) else state

    assert ca.measure(Step(), size=(6, 8), channels=3).macs == 6 * each_step


def test_deformable_convolutions_and_bilinear_layers() -> None:
    class Deformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torchvision.ops.DeformConv2d(4, 6, 3, padding=1, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x, ones(x, 1, 18, *x.shape[2:]))

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pairs = nn.Bilinear(8, 7, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.pairs(x, x[..., 1:])

    assert macs(Deformed(), channels=4) == 6 * 6 * 8 * 2 * 3 * 3
    assert macs(Pairs()) == 3 * 6 * 5 * 8 * 7


def test_a_layer_with_a_kernel_of_unknown_cost_is_named() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x[0, 0], self.weight)

    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 3, 1), Strange()), size=(6, 8))
    assert anatomy.uncounted == ("1",)
    assert anatomy.macs == 3 * 3 * 6 * 8
    assert str(anatomy).endswith("; MACs without those of 1")
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.LayerNorm((3, 6, 8)), nn.PReLU(3))
    assert ca.measure(plain, size=(6, 8)).uncounted == ()


def test_attention_without_a_batch() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x[0, 0], x[0, 0], x[0, 0])[0]

    assert ca.measure(Single(), size=(6, 8), channels=3).macs == 4 * 6 * 8 * 8 + 2 * 6 * 6 * 8


def products(net: nn.Module, *shape: int) -> int:
    """How many products of a weight and a number of the photo a convolution sums.

    Counted by running it: with weights, bias and photo of ones, each output is the number of its products; a border
    of ones beside the photo counts as the field does, since papers multiply by the border's zeros too.
    """
    for name, weight in net.named_parameters():
        nn.init.constant_(weight, 0 if name.endswith("bias") else 1)
    return int(net(torch.ones(1, *shape, dtype=torch.float64)).sum())


@pytest.mark.parametrize(
    "net",
    [
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 6, (3, 5), (2, 1), dilation=(1, 2)),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.ConvTranspose2d(4, 6, 2, 2),
        nn.ConvTranspose2d(4, 6, (3, 4), (2, 3), groups=2),
        nn.Linear(12, 5),
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1)),
    ],
    ids=str,
)
def test_every_single_product(net: nn.Module) -> None:
    net = net.double()
    measured = ca.measure(net, size=(9, 12), channels=4)
    if isinstance(net, nn.Sequential):
        depthwise, pointwise = measured.layers
        assert depthwise.macs == products(net[0], 4, 9, 12)
        assert pointwise.macs == products(net[1], 4, 7, 10)
    else:
        assert measured.macs == products(net, 4, 9, 12)


@pytest.mark.parametrize(
    ("name", "published"), [("resnet50", 3.858e9), ("resnet101", 7.570e9), ("resnet152", 11.282e9), ("vgg16", 15.47e9)]
)
def test_nets_of_the_atlas(name: str, published: float) -> None:
    assert ca.measure(name).macs == pytest.approx(published, rel=2e-4)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121"])
def test_work_grows_with_the_area(name: str) -> None:
    """But for the dense layer, a photo of twice the side takes four times as much."""
    dense = ca.measure(name).layers[-1].macs
    small, large = (ca.measure(name, size=size) for size in (128, 256))
    assert large.macs - dense == 4 * (small.macs - dense)
    assert large.parameters == small.parameters
