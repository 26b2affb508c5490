"""Multiply-accumulates against closed forms, and against a count of every single product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

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


def convolution(x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    return torch.convolution(x, weight, None, (1, 1), (0, 0), (1, 1), transposed, (0, 0), 1)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return x @ weight

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        return gradient, None


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
    (lambda x: torch.linalg.vecdot(x, ones(x, 1, 3, 6, 8), dim=1), 3 * 6 * 8),
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
    (lambda x: torch.einsum("nchw,nchw->n", x, x), 3 * 6 * 8),
    # Of three factors two are multiplied first: 8 x 5 and 5 x 2.
    (lambda x: torch.einsum("nchw,wk,kl->nchl", x, ones(x, 8, 5), ones(x, 5, 2)), 8 * 5 * 2 + 3 * 6 * 8 * 2),
    (lambda x: torch.linalg.multi_dot([x[0, 0], ones(x, 8, 5), ones(x, 5, 7)]), 6 * 8 * 5 + 6 * 5 * 7),
    (lambda x: torch.chain_matmul(x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.linalg.matrix_power(x[..., :6], 3), 2 * 3 * 6**3),
    (lambda x: torch.zeros(6, 5, device=x.device).addmm_(x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.mm(x[0, 0], ones(x, 8, 5), out=torch.empty(6, 5, device=x.device)), 6 * 8 * 5),
    (lambda x: torch.sparse.mm(x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: F.grouped_mm(x[0].bfloat16(), ones(x, 3, 8, 8).bfloat16()), 3 * 6 * 8 * 8),
    (lambda x: torch.ops.aten.addmm.default(ones(x, 5), x[0, 0], ones(x, 8, 5)), 6 * 8 * 5),
    (lambda x: torch.ops.aten.linear(x, ones(x, 5, 8)), 3 * 6 * 8 * 5),
    (lambda x: torch.vmap(lambda row: row @ ones(x, 8, 5))(x[0]), 3 * 6 * 8 * 5),
    (lambda x: torch.vmap(lambda row: F.linear(row, ones(x, 5, 8)))(x[0]), 3 * 6 * 8 * 5),
    (lambda x: torch.vmap(lambda row: F.conv2d(row[None, None], ones(x, 2, 1, 3, 3)))(x[0]), 3 * 2 * 4 * 6 * 9),
    (lambda x: Product.apply(x, ones(x, 8, 5)), 3 * 6 * 8 * 5),
    (lambda x: checkpoint(lambda y: y @ ones(x, 8, 5), x, use_reentrant=False), 3 * 6 * 8 * 5),
    (lambda x: checkpoint(lambda y: y @ ones(x, 8, 5), x, use_reentrant=True), 3 * 6 * 8 * 5),
    # A convolution: by windows laid out as columns, by a view of them, by its own names.
    (lambda x: ones(x, 1, 4, 27) @ F.unfold(x, 3), 4 * 4 * 6 * 27),
    (lambda x: torch.einsum("nchwij,ocij->nohw", x.unfold(2, 3, 1).unfold(3, 3, 1), ones(x, 4, 3, 3, 3)), 4 * 24 * 27),
    (lambda x: F.fold(ones(x, 1, 12, 3) @ x.reshape(1, 3, 48), (7, 9), (2, 2)), 12 * 3 * 48),
    (lambda x: convolution(x, ones(x, 4, 3, 3, 3), False), 4 * 4 * 6 * 27),
    (lambda x: convolution(x, ones(x, 3, 4, 3, 3), True), 3 * 6 * 8 * 4 * 9),
    (lambda x: torch.conv_tbc(x[0], ones(x, 3, 8, 5), ones(x, 5)), 6 * 5 * 3 * 8),
    (lambda x: F.conv1d(x[0], ones(x, 5, 6, 3)), 3 * 5 * 6 * 6 * 3),
    (lambda x: F.conv3d(x[None], ones(x, 2, 1, 2, 3, 3)), 2 * 2 * 4 * 6 * 18),
    # What only turns, sums or scales is none.
    (lambda x: torch.einsum("nchw,hw->nchw", x, ones(x, 6, 8)), 0),
    (lambda x: torch.einsum("i,j->ij", x[0, 0, 0], ones(x, 3)), 0),
    (lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]), 0),
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


class Owns(nn.Module):
    """A leaf with a matrix, and a function of its input and this matrix."""

    def __init__(self, run: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.run = nn.Parameter(torch.ones(5, 8)), run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x[0, 0], self.weight)


UNKNOWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "distances": torch.cdist,
    "distances of a turned matrix": lambda x, weight: torch.cdist(x, weight.T.flip(0).T) + 1,
    "each number times several weights": lambda x, weight: (x[:, None] * weight).sum(-1),
    "a maximum of sums": lambda x, weight: torch.logsumexp(x[:, None] + weight, -1) + torch.cdist(x, weight),
}
SCALING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "product": lambda x, weight: x[:5] * weight,
    "sum": lambda x, weight: x[:5] + weight.tanh(),
    "rows": lambda x, weight: torch.cat([x, weight.repeat(2, 1)]),
    "look-up": lambda x, weight: F.embedding(x[:, 0].long(), weight),
    "unused": lambda x, weight: x,
    "difference": lambda x, weight: x[:5] - weight.softmax(-1),
}


@pytest.mark.parametrize("name", list(UNKNOWN))
def test_a_layer_with_a_kernel_of_unknown_cost_is_named(name: str) -> None:
    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 3, 1), Owns(UNKNOWN[name])), size=(6, 8))
    assert anatomy.uncounted == ("1",)
    assert anatomy.macs == 3 * 3 * 6 * 8
    assert "; MACs without those of 1" in str(anatomy)


@pytest.mark.parametrize("name", list(SCALING))
def test_a_layer_that_only_scales_sums_or_looks_up_has_no_products(name: str) -> None:
    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 3, 1), Owns(SCALING[name])), size=(6, 8))
    assert anatomy.uncounted == ()


def test_normalizations_own_no_kernel() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.LayerNorm((3, 6, 8)), nn.PReLU(3))
    assert ca.measure(plain, size=(6, 8)).uncounted == ()


def test_what_a_function_of_the_net_itself_multiplies_is_named_too() -> None:
    class Distances(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.centres = nn.Conv2d(3, 3, 1), nn.Parameter(torch.ones(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(self.conv(x)[0, 0], self.centres)

    assert ca.measure(Distances(), size=(6, 8)).uncounted == ("cdist",)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (lambda x, weight: torch.cdist(x, weight[None]), "cdist"),
        (lambda x, weight: F.cosine_similarity(x[..., None, :], weight[None], -1), "cosine_similarity"),
        (lambda x, weight: (x[..., None, :] * weight).sum(-1), "mul"),
        (lambda x, weight: (x[..., :5, :] * weight.tanh()).sum(-1), None),
        (lambda x, weight: x[..., :5, :] + weight[None], None),
    ],
)
def test_a_matrix_that_was_changed_first_is_one_too(run: Callable[[Tensor, Tensor], Tensor], name: str | None) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            return run(x, self.weight)

    assert ca.measure(Own(), size=(6, 8)).uncounted == ((name,) if name else ())


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_attention_to_one_more_key(option: str) -> None:
    class Self(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True, **{option: True})

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]

    assert ca.measure(Self(), input_shape=(10, 16)).macs == 4 * 10 * 16 * 16 + 2 * 10 * 11 * 16


def test_branches_that_cannot_be_followed_are_named() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return torch.cond(y.sum() > 0, lambda y: self.dense(y), lambda y: self.dense(y) * 2, (y,))

    exported = torch.export.export(Branching(), (torch.zeros(1, 3, 8, 8),)).module()
    anatomy = ca.measure(exported, size=8)
    assert anatomy.macs == 36 * 108
    assert "cond" in anatomy.uncounted


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


class Relative(nn.Module):
    """A bias computed from coordinates by two dense layers, added to a convolution's maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.table = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
        self.register_buffer("coordinates", torch.ones(48, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.table(self.coordinates).T.reshape(2, 6, 8)


def test_branches_that_read_no_photo_count_and_are_marked() -> None:
    anatomy = ca.measure(Relative(), size=(6, 8))
    assert [layer.name for layer in anatomy.layers] == ["conv", ""]
    assert [layer.name for layer in anatomy.constants] == ["table.0", "table.2"]
    assert [layer.macs for layer in anatomy.constants] == [48 * 2 * 16, 48 * 16 * 2]
    assert [layer.parameters for layer in anatomy.constants] == [3 * 16, 17 * 2]
    assert {(layer.inputs, layer.field, layer.field_stride, layer.sees_all) for layer in anatomy.constants} == {
        ((), (0, 0), None, False)
    }
    assert anatomy.macs == 48 * 6 + 2 * 48 * 32
    assert sum(layer.parameters for layer in (*anatomy.layers, *anatomy.constants)) == anatomy.parameters
    assert [row["inputs"] for row in anatomy.table().rows][-2:] == [(), ()]
    assert "weights alone" in anatomy.table().markdown()
    assert sum(row["macs"] for row in anatomy.stages().rows) == anatomy.macs
    anatomy.draw()


def test_a_difference_in_what_reads_no_photo_is_told() -> None:
    plain = Relative()
    plain.table = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    nets = [ca.measure(net, size=(6, 8)) for net in (Relative(), plain)]
    found = ca.compare(*nets)
    told = {each.change: each.parameters for each in found.differences}
    assert told["other weights: table.0, computed from weights alone"] == 24 - 48
    assert (
        sum(told.values())
        == sum(weight.numel() for weight in plain.parameters()) - ca.measure(Relative(), size=(6, 8)).parameters
    )


def below(net: nn.Module, *inputs: object) -> int:
    """MACs as PyTorch's own counter sees them, which runs the net."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*inputs)
    return counter.get_total_flops() // 2


FOREIGN: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "swin_v2_t": (lambda: torchvision.models.swin_v2_t(weights=None), 224),
    "swinv2_tiny_window8_256": (lambda: timm.create_model("swinv2_tiny_window8_256"), 256),
    "xcit_nano_12_p16_224": (lambda: timm.create_model("xcit_nano_12_p16_224"), 224),
    "convit_tiny": (lambda: timm.create_model("convit_tiny"), 224),
    "edgenext_xx_small": (lambda: timm.create_model("edgenext_xx_small"), 96),
    "test_vit_relpos": (lambda: timm.create_model("test_vit_relpos"), 160),
    "coat_tiny": (lambda: timm.create_model("coat_tiny"), 224),
    "test_byobnet": (lambda: timm.create_model("test_byobnet"), 96),
    "tresnet_m": (lambda: timm.create_model("tresnet_m"), 96),
    "csatv2": (lambda: timm.create_model("csatv2"), 224),
}


@pytest.mark.parametrize("name", list(FOREIGN))
def test_other_people_s_nets_as_pytorch_counts_them(name: str) -> None:
    make, size = FOREIGN[name]
    with torch.device("meta"):
        net, photo = make().eval(), torch.empty(1, 3, size, size)
    assert ca.measure(net, size=size).macs == below(net, photo)


def test_a_detector_as_pytorch_counts_it() -> None:
    make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    net = make(weights=None, weights_backbone=None).eval()
    photos = [torch.zeros(3, 96, 128)]
    anatomy = ca.measure(net, inputs=photos)
    assert anatomy.input == (3, 96, 128)
    assert anatomy.macs == below(net, photos)


def test_a_net_of_lstms() -> None:
    with torch.device("meta"):
        net = timm.create_model("sequencer2d_s")
    assert ca.measure(net, size=224).macs == 8_334_007_296


def test_swin_v2_with_its_relative_positions() -> None:
    with torch.device("meta"):
        net = torchvision.models.swin_v2_t(weights=None)
    anatomy = ca.measure(net, size=224)
    assert anatomy.macs == 4_938_464_256
    assert anatomy.macs - sum(layer.macs for layer in anatomy.layers) == 4_938_464_256 - 4_919_801_856
