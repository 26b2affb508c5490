"""Certificates and passes of nets that are sure, scripted, padded without end, or run on the wrong input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.certificate import certificates
from convatlas.probes.explain import explain
from convatlas.probes.gradient.full_grad import FullGrad
from convatlas.probes.subject import Subject
from convatlas.probes.tape.doubled import doubled
from convatlas.probes.targets import Probability, targets_of
from tests.probes.nets import Custom
from tests.probes.subjects import Case, Functional, Scripted, photo


class Held(nn.Module):
    """Holds a plain tensor, which `Module.double` leaves in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 4, 3), torch.tensor([0.5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,c->nc", self.conv(x), self.scale.expand(4))


class Padded(nn.Module):
    """Max pooling padded with −∞, as in nets of Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(self.conv(x), (0, 1, 0, 1), value=-torch.inf)
        return self.head(F.max_pool2d(y, 3, 2).mean((2, 3)))


class Gate(nn.Module):
    """A hard sigmoid, by itself or as a function that PyTorch differentiates twice."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.plain = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), plain

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        gate = (y.mean((2, 3)) / 6 + 0.5).clamp(0, 1) if self.plain else F.hardsigmoid(y.mean((2, 3)))
        return self.head(y.square().mean((2, 3)) * gate)


class Folded(nn.Module):
    """Folds each number many times: straight pieces of slopes up to 2^22, as narrow as 2^-22."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(22):
            x = 1 - (2 * x - 1).abs()
        return x.flatten(1)[:, :16] @ torch.linspace(1, 2, 16, dtype=x.dtype)[:, None]


def _certificate(case: Case) -> tuple[float, str]:
    x = case.x[None]
    targets = targets_of(case.target, case.net, case.net(x.clone()), (x.shape[2], x.shape[3]))
    subject = Subject(case.net, x, targets, torch.zeros_like(x))
    assert subject.tape
    assert subject.certificate is not None
    return subject.certificate.difference, subject.certificate.precision


def test_a_probability_of_nearly_one_is_certified() -> None:
    """Its gradient is so small that over a short step the score changes by less than is rounded away."""
    net = Functional().eval()
    x = photo(3, 32)
    with torch.no_grad():
        best, second = net(x[None])[0].sort(descending=True).values[:2]
        for tensor in net.head.parameters():
            tensor *= 20 / (best - second)
    difference, precision = _certificate(Case(net, x, Probability()))  # type: ignore[arg-type]
    assert difference < 1e-3
    assert precision == "float64"


def test_a_net_of_narrow_pieces_is_certified() -> None:
    """A step across many of them tells nothing about the gradient."""
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    difference, _ = _certificate(Case(Folded(), x, 0))
    assert difference < 1e-3


class Fixed(nn.Module):
    """Computes in float32, whatever its parameters are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x.to(torch.float32)).tanh().mean((2, 3)))


def test_a_record_says_that_a_gradient_was_checked_in_float32() -> None:
    note = "compared with the derivative in float32, where 5% of difference is allowed instead of 0.1%"
    x = photo(3, 16).float()
    for probe, said in (("saliency", True), ("grad_cam", True), ("occlusion", False)):
        result = explain(Fixed().eval(), x, probe, 1)
        assert any(note in each for each in result.notes) == said
        assert (note in result.to_json()) == said
        assert note not in explain(Held().eval(), x, probe, 1).to_json()


@pytest.mark.parametrize("made", [Held, Scripted])
def test_certificates_are_computed_in_float64(made: type[nn.Module]) -> None:
    net = made().eval()
    difference, precision = _certificate(Case(net, photo(3, 16)))
    assert precision == "float64"
    assert difference < 1e-6
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_a_net_in_float64_shares_what_the_net_shares() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    exact = doubled(net)
    assert exact[0].weight is exact[1].weight
    assert exact[0].weight.dtype == torch.float64
    assert net[0].weight.dtype == torch.float32
    assert torch.equal(exact(torch.ones(1, 3).double()).float(), net.double()(torch.ones(1, 3).double()).float())


def test_padding_without_end_adds_nothing() -> None:
    found = explain(Padded().eval(), photo(3, 14), FullGrad(), 1, precision="float64")
    assert found.residual < 1e-12


def test_a_hard_sigmoid_is_differentiated_twice() -> None:
    values = [explain(Gate(plain).eval(), photo(3, 16), "shapley_cam", 1).values for plain in (False, True)]
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_a_net_that_does_not_run_on_its_input_is_an_error_in_one_line() -> None:
    with pytest.raises(ConvAtlasError, match=r"does not run on an input of the shape \(1, 4, 16, 16\): RuntimeError"):
        explain(Functional().eval(), torch.zeros(4, 16, 16))


def test_pytorch_s_gradient_is_used_only_where_it_is_the_derivative() -> None:
    """Square has a backward of its own that lies, a detached factor has none: the tape knows better, also later."""
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for net, agrees in (
        (Functional(), True),
        (Custom(), False),
        (_Detaching(multiplied=False), True),
        (_Detaching(multiplied=True), False),
    ):
        net.eval().double()
        first, second = (explain(net, x, "saliency", 1) for _ in range(2))
        assert [each.autograd for each in certificates(net)] == [agrees]
        assert np.array_equal(first.values, second.values)
        assert (first.forwards, first.backwards, first.derivative) == (
            second.forwards,
            second.backwards,
            second.derivative,
        )
        direction, step = torch.rand_like(x), 1e-6
        up, down = (float(net((x + sign * step * direction)[None])[0, 1].detach()) for sign in (1, -1))
        assert float((torch.from_numpy(first.values) * direction).sum()) == pytest.approx(
            (up - down) / (2 * step), rel=1e-5
        )


class _Detaching(nn.Module):
    """Keeps its maps for later, as hooks of other libraries do, and may multiply by what it keeps."""

    def __init__(self, multiplied: bool):
        super().__init__()
        self.convolution, self.multiplied = nn.Conv2d(3, 4, 3), multiplied

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)  # (N, 4, h - 2, w - 2)
        self.kept = y.detach()
        return (y * (self.kept if self.multiplied else y)).mean((2, 3))  # (N, 4)


@pytest.mark.parametrize("probe", ["deep_lift", "lrp", "grad_cam"])
def test_maps_that_a_hook_keeps_change_nothing(probe: str) -> None:
    net, kept = Functional().eval(), []
    x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = explain(net, x, probe, 1).values
    for module in net.children():
        module.register_forward_hook(lambda _, __, output: kept.append(output.detach()))
    assert np.array_equal(explain(net, x, probe, 1).values, expected)
