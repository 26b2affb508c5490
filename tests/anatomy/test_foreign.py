"""Nets of other libraries, and nets nobody would write, measured as they are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization import DeQuantStub, QuantStub
from torch.nn.utils import parametrizations, prune
from torchvision import models

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.nets.build import skeleton
from convatlas.nets.example_inputs import hint

# Those of which torchvision publishes how many operations they take ("_ops", in GFLOPs of one multiply-add each).
TORCHVISION = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet1_0",
    "mobilenet_v2",
    "resnet18",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "vgg16",
    "vit_b_16",
)
TIMM = (
    "convnext_atto",
    "densenet121",
    "efficientnet_b0",
    "inception_resnet_v2",
    "legacy_xception",
    "resnet50",
    "resnetv2_50",
    "seresnet50",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224",
)


def torchvision(name: str) -> nn.Module:
    """A net of torchvision on the meta device."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return models.get_model(name, weights=None, **options)


def numbers(net: nn.Module) -> int:
    """How many numbers training changes, counted without convatlas."""
    return sum(weight.numel() for weight in net.parameters())


def running(net: nn.Module) -> int:
    """How many numbers normalizations keep, counted by their names."""
    names = ("running_mean", "running_var")
    return sum(tensor.numel() for name, tensor in net.named_buffers() if name.rpartition(".")[2] in names)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_as_it_publishes(name: str) -> None:
    net = torchvision(name)
    published = models.get_model_weights(name).DEFAULT
    anatomy = ca.measure(net, size=published.transforms.keywords["crop_size"])
    assert round(anatomy.macs / 1e9, 3) == published.meta["_ops"]
    assert anatomy.trainable == numbers(net)
    assert anatomy.parameters == numbers(net) + running(net)
    assert anatomy.output == (1000,)
    # Heads that only training uses are of the net, but on no photo's way.
    ways = [part for name, part in net.named_children() if not name.startswith(("aux", "Aux"))]
    on_the_way = sum(map(numbers, ways)) + sum(weight.numel() for weight in net._parameters.values())
    assert sum(layer.trainable for layer in anatomy.layers) == on_the_way
    assert on_the_way == numbers(net) or name in ("googlenet", "inception_v3")
    assert sum(layer.parameters for layer in anatomy.layers) == on_the_way + sum(map(running, ways))


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    """Normalizations with an activation inside, scales by a reshaped parameter, windows of attention."""
    with torch.device("meta"):
        net = timm.create_model(name, pretrained=False)
    anatomy = ca.measure(net, size=net.default_cfg["input_size"][1:])
    assert anatomy.trainable == numbers(net)
    assert anatomy.parameters == numbers(net) + running(net)
    assert sum(layer.trainable for layer in anatomy.layers) == anatomy.trainable
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    assert anatomy.macs == sum(layer.macs for layer in anatomy.layers)
    assert anatomy.output == (1000,)


def test_two_makers_of_one_net_measure_the_same() -> None:
    ours, torchvisions = ca.measure("densenet121"), ca.measure(torchvision("densenet121"), size=224)
    with torch.device("meta"):
        timms = ca.measure(timm.create_model("densenet121"), size=224)
    assert ours.macs == torchvisions.macs == timms.macs
    assert ours.path == torchvisions.path == timms.path == 121
    assert ours.trainable == torchvisions.trainable == timms.trainable


def test_xception_of_timm_takes_what_ours_takes() -> None:
    with torch.device("meta"):
        theirs = ca.measure(timm.create_model("legacy_xception"), size=299)
    ours = ca.measure("xception")
    assert (theirs.macs, theirs.trainable, theirs.path) == (ours.macs, ours.trainable, ours.path)


class Functional(nn.Module):
    """What people write: functional calls, sums in place, one activation for all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.again = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        y = self.relu(self.again(x))
        y += x
        y = self.relu(self.again(y))
        y = F.avg_pool2d(y, 2)
        y = torch.flatten(F.adaptive_avg_pool2d(y, 1), 1)
        return self.fc(F.dropout(y, 0.5, self.training))


def test_functional_calls_sums_in_place_and_shared_modules() -> None:
    anatomy = ca.measure(Functional(), size=8)
    rows = [(layer.name, layer.kind, layer.inputs, layer.output, layer.parameters) for layer in anatomy.layers]
    assert rows == [
        ("conv", "convolution", (0,), (8, 8, 8), 3 * 9 * 8 + 8),
        ("norm", "batch normalization", (1,), (8, 8, 8), 4 * 8),
        ("", "ReLU", (2,), (8, 8, 8), 0),
        ("again", "convolution", (3,), (8, 8, 8), 8 * 9 * 8),
        ("relu", "ReLU", (4,), (8, 8, 8), 0),
        ("", "sum", (5, 3), (8, 8, 8), 0),
        ("again", "convolution", (6,), (8, 8, 8), 0),
        ("relu", "ReLU", (7,), (8, 8, 8), 0),
        ("", "average pooling", (8,), (8, 4, 4), 0),
        ("", "adaptive average pooling", (9,), (8, 1, 1), 0),
        ("", "flatten", (10,), (8,), 0),
        ("", "dropout", (11,), (8,), 0),
        ("fc", "dense", (12,), (5,), 8 * 5 + 5),
    ]
    assert anatomy.trainable == 3 * 9 * 8 + 8 + 2 * 8 + 8 * 9 * 8 + 8 * 5 + 5
    assert anatomy.parameters == anatomy.trainable + 2 * 8
    # The shared convolution works twice and is one layer.
    assert anatomy.macs == 64 * (3 * 9 * 8 + 2 * 8 * 9 * 8) + 8 * 5
    assert anatomy.depth == 4
    assert anatomy.path == 4
    assert anatomy.memory == sum(8 * n * n for n in (8,) * 8 + (4, 1, 1, 1)) * 4 + 5 * 4


class Given(nn.Module):
    """A forward as a function of the module and the photo."""

    def __init__(self, run: Callable[..., object], *parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        self.parts = nn.ModuleList(parts)
        self.weight = nn.Parameter(torch.zeros(4, 3, 3, 3))

    def forward(self, x: Tensor) -> object:
        return self.run(self, x)


def only(anatomy: Anatomy) -> tuple[str, int, int]:
    (layer,) = anatomy.layers
    return layer.kind, layer.parameters, layer.macs


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: F.conv2d(x, net.weight),
        lambda net, x: F.conv2d(input=x, weight=net.weight),
        lambda net, x: F.conv2d(x, net.weight.clone().flip(0)),
        lambda net, x: F.conv2d(x, torch.cat([net.weight[:2], net.weight[2:]])),
    ],
)
def test_a_weight_is_found_wherever_it_stands(run: Callable[..., object]) -> None:
    assert only(ca.measure(Given(run), size=8)) == ("convolution", 108, 108 * 36)
    on_meta = Given(run).to("meta")
    assert only(ca.measure(on_meta, size=8)) == ("convolution", 108, 108 * 36)


def test_a_weight_that_two_layers_share_is_counted_once() -> None:
    """On the CPU too, where the weights are others while the net is traced."""
    net = Given(lambda net, x: F.linear(net.parts[0](x), net.parts[0].weight), nn.Linear(8, 8, bias=False))
    del net.weight
    anatomy = ca.measure(net, size=8, channels=3)
    assert [layer.parameters for layer in anatomy.layers] == [64, 0]
    assert anatomy.parameters == 64


def test_weight_normalization() -> None:
    net = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
    assert only(ca.measure(net, size=8)) == ("convolution", 4 * 27 + 4 + 4, 4 * 27 * 36)


def test_kinds_of_leaves_that_call_one_function() -> None:
    class Squashed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x)

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.cumsum(1).sin()

    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 1), Squashed(), Odd(), nn.ConvTranspose2d(4, 2, 2, 2)), size=4)
    assert [layer.kind for layer in anatomy.layers] == ["convolution", "GELU", "Odd", "transposed convolution"]
    assert anatomy.activation == "GELU"
    assert anatomy.path == 2


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (lambda net, x: F.conv2d(x, net.weight, dilation=2), "dilated convolution"),
        (lambda net, x: F.conv2d(x, net.weight[:3, :1], groups=3), "depthwise convolution"),
        (lambda net, x: F.conv2d(torch.cat([x, x], 1), net.weight, groups=2), "grouped convolution"),
    ],
)
def test_kinds_of_functional_convolutions(run: Callable[..., object], kind: str) -> None:
    assert ca.measure(Given(run), size=8).layers[-1].kind == kind


@pytest.mark.parametrize(
    ("run", "padding"),
    [
        (lambda net, x: F.pad(x, (1, 2, 3, 4)), (3, 1)),
        (lambda net, x: F.pad(x, pad=(1, 2, 3, 4)), (3, 1)),
        (lambda net, x: F.conv2d(x, net.weight, padding="same", dilation=3), (3, 3)),
        (lambda net, x: F.conv2d(x, net.weight, padding="valid"), (0, 0)),
        (lambda net, x: F.conv2d(x, net.weight, padding=(2, 1)), (2, 1)),
        (lambda net, x: F.max_pool2d(x, 3, 2, 1), (1, 1)),
        (lambda net, x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[0], (1, 1)),
    ],
)
def test_borders(run: Callable[..., object], padding: tuple[int, int]) -> None:
    (layer,) = ca.measure(Given(run), size=8).layers
    assert layer.padding == padding


def real(net: Given, x: Tensor) -> Tensor:
    """A decision on a value, a constant on the CPU, numbers in numpy and in Python."""
    y = net.parts[0](x)
    if y.sum() > 1e9:
        return y
    y = y * torch.full((4, 1, 1), 0.5) + float(y.numpy().mean())
    return y * y.flatten().tolist()[0] * y.mean().item()


def test_a_net_that_needs_real_numbers() -> None:
    net = Given(real, nn.Conv2d(3, 4, 3))
    anatomy = ca.measure(net, size=8)
    assert anatomy.layers[0].macs == 4 * 27 * 36
    assert anatomy.layers[-1].output == (4, 6, 6)
    with pytest.raises(SizeError, match="meta"):
        ca.measure(Given(real, nn.Conv2d(3, 4, 3)).to("meta"), size=8)


def test_a_net_that_begins_with_a_dense_layer() -> None:
    net = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    anatomy = ca.measure(net)
    assert anatomy.input == (12,)
    assert anatomy.row()["input"] == (12,)
    assert (anatomy.macs, anatomy.depth, anatomy.path) == (12 * 5 + 5 * 2, 2, 2)
    assert [layer.output for layer in anatomy.layers] == [(5,), (5,), (2,)]
    photos = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5))
    assert ca.measure(photos, size=4, channels=3).output == (5,)


def test_convolutions_of_other_dimensions() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Flatten(2), nn.Conv1d(6, 4, 3, stride=2), nn.BatchNorm1d(4))
    anatomy = ca.measure(net, size=5)
    assert [layer.output for layer in anatomy.layers] == [(6, 5, 5), (6, 25), (4, 12), (4, 12)]
    assert anatomy.layers[2].macs == 4 * 12 * 3 * 6
    assert anatomy.layers[2].kind == "convolution"
    assert anatomy.path == 2
    solid = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, (3, 2, 2)))
    anatomy = ca.measure(solid, size=5, channels=3)
    assert anatomy.output == (2, 1, 4, 4)
    assert anatomy.macs == 2 * 16 * 12


def test_half_and_double_precision() -> None:
    for dtype, size in ((torch.float16, 2), (torch.float32, 4), (torch.float64, 8)):
        assert ca.measure(nn.Conv2d(3, 4, 3).to(dtype), size=8).memory == 4 * 36 * size


def test_a_net_from_fx() -> None:
    net = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert [layer.kind for layer in ca.measure(net, size=8).layers] == ["convolution", "ReLU"]


def test_a_detector_as_torchvision_publishes_it() -> None:
    """Photos in a list inside an object, anchors made of nothing, boxes that depend on values."""
    weights = models.detection.SSDLite320_MobileNet_V3_Large_Weights.DEFAULT
    net = models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    anatomy = ca.measure(net, size=320)
    assert round(anatomy.macs / 1e9, 3) == weights.meta["_ops"]
    assert anatomy.trainable == weights.meta["num_params"] == sum(layer.trainable for layer in anatomy.layers)


def test_a_weight_that_is_added_to_itself_again_and_again() -> None:
    def run(net: Given, x: Tensor) -> Tensor:
        weight = net.weight
        for _ in range(64):
            weight = weight + weight
        return F.conv2d(x, weight)

    assert only(ca.measure(Given(run), size=8)) == ("convolution", 108, 108 * 36)


def test_what_cannot_be_followed_is_refused_rather_than_left_out() -> None:
    net = Given(lambda net, x: torch.from_numpy(net.parts[0](x).numpy() * 2), nn.Conv2d(3, 4, 3))
    with pytest.raises(ConvAtlasError, match="cannot be traced, such as through NumPy"):
        ca.measure(net, size=8)


@pytest.mark.parametrize("training", [True, False])
def test_a_net_from_export(training: bool) -> None:
    """It has no modules of its own kinds, refuses `eval`, and calls operators by their full names."""
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    made.train(training)
    net = torch.export.export(made, (torch.zeros(1, 3, 8, 8),)).module()
    found, plain = ca.measure(net, size=8), ca.measure(made, size=8)
    for total in ("output", "parameters", "trainable", "macs", "depth", "path", "activation"):
        assert getattr(found, total) == getattr(plain, total), total
    with pytest.raises(SizeError, match="9 x 9"):
        ca.measure(net, size=9)


def test_normalizations_of_one_s_own_keep_statistics_too() -> None:
    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(4))
            self.register_buffer("running_var", None)

        def forward(self, x: Tensor) -> Tensor:
            return x - self.running_mean[:, None, None]

    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), Norm()), size=8)
    assert (anatomy.parameters - anatomy.trainable, anatomy.depth) == (4, 2)


def test_a_dictionary_of_outputs() -> None:
    net = Given(lambda net, x: {"out": net.parts[0](x)}, nn.Conv2d(3, 4, 3))
    assert ca.measure(net, size=8).output == (4, 6, 6)


def raises(error: BaseException) -> Callable[..., object]:
    def run(net: Given, x: Tensor) -> object:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AssertionError("wrong height"), "AssertionError: wrong height"),
        (AssertionError(), r"AssertionError: raise error (test_foreign.py, line RAISED)"),
        (KeyError("stage"), "KeyError: 'stage'"),
        (IndexError("out\nof range"), "IndexError: out"),
        (AttributeError("no such thing"), "AttributeError: no such thing"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_whatever_a_net_raises_is_told_in_one_line(error: Exception, told: str) -> None:
    with pytest.raises(SizeError) as caught:
        ca.measure(Given(raises(error)), size=8)
    text = re.sub(r"line \d+", "line RAISED", str(caught.value))
    assert text == f"Given cannot take an input of 3 x 8 x 8: {told}; {hint()}"


def test_a_size_that_a_foreign_net_asserts() -> None:
    with pytest.raises(SizeError, match=r"cannot take an input of 3 x 200 x 200: AssertionError: Wrong image height"):
        ca.measure(torchvision("vit_b_16"), size=200)


@pytest.mark.parametrize("size", [0, -1, 8193, 2.5, True, (8,), (8, 8, 8), ("8", 8), ()])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(SizeError, match="a photo has 1 to 8192 pixels"):
        ca.measure(nn.Conv2d(3, 4, 3), size=size)


def test_what_cannot_be_measured_says_why() -> None:
    with pytest.raises(ConvAtlasError, match="lazy layers"):
        ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyConv2d(2, 1)), size=8)
    with pytest.raises(ConvAtlasError, match="no output is computed from its input"):
        ca.measure(Given(lambda net, x: torch.ones(3)), size=8)
    with pytest.raises(ConvAtlasError, match="no output is computed from its input"):
        ca.measure(Given(lambda net, x: 3), size=8)
    with pytest.raises(ConvAtlasError, match="a net is a name or a"):
        ca.measure(nn.Conv2d)
    with pytest.raises(ConvAtlasError, match="belong to nets of the atlas"):
        ca.measure(nn.Conv2d(3, 4, 3), classes=3)
    with pytest.raises(ConvAtlasError, match="belong to nets of the atlas"):
        ca.measure(nn.Conv2d(3, 4, 3), genes={"activation": "gelu"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(ConvAtlasError, match="TorchScript"):
        ca.measure(script, size=8)


def test_attributes_that_only_our_modules_mean() -> None:
    """In somebody's own net `statistics` is a dictionary."""

    class Own(nn.Module):
        statistics = {"mean": 0.5}

        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    assert ca.measure(Own(), size=8, channels=3).parameters == 0


def test_the_trace_is_of_the_net_in_evaluation() -> None:
    """Dropout that training would apply is no operation, and normalizations read their running statistics."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = net[1].running_mean.clone()
    operations = trace(net, torch.randn(2, 3, 4, 4))
    assert [operation.path for operation in operations] == ["0", "1"]
    assert torch.equal(net[1].running_mean, before)
    assert net.training


def test_a_size_of_none_is_not_the_published_one() -> None:
    with pytest.raises(SizeError, match="a photo has 1 to 8192 pixels"):
        ca.measure(skeleton("mobilenet"), size=0)


STORED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "both": lambda conv: parametrizations.spectral_norm(parametrizations.weight_norm(conv)),
    "weight_norm by a hook": nn.utils.weight_norm,
    "spectral_norm by a hook": nn.utils.spectral_norm,
    "pruning": lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(STORED))
def test_weights_stored_in_another_form_are_weights_of_the_same_layers(name: str) -> None:
    net = nn.Sequential(*[STORED[name](nn.Conv2d(*channels, 3)) for channels in ((3, 4), (4, 4))])
    anatomy = ca.measure(net, size=9)
    plain = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), size=9)
    for total in ("depth", "path", "macs", "memory", "output"):
        assert getattr(anatomy, total) == getattr(plain, total), total
    assert [layer.kind for layer in anatomy.layers] == ["convolution"] * 2
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    assert (anatomy.constants, anatomy.uncounted, anatomy.left_torch) == ((), (), ())


def static() -> nn.Module:
    net = nn.Sequential(QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), DeQuantStub()).eval()
    net.qconfig = quantization.get_default_qconfig("x86")  # type: ignore[assignment]
    prepared = quantization.prepare(net)
    prepared(torch.rand(1, 3, 8, 8))
    return quantization.convert(prepared)  # type: ignore[no-any-return]


def dynamic() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    return quantization.quantize_dynamic(net, {nn.Linear})  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [static, dynamic])
def test_quantized_nets_are_refused_in_one_line(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(
        ConvAtlasError, match=r"Sequential is quantized \(it holds a \w+ of torch.ao.nn.quantized"
    ) as caught:
        ca.measure(make(), size=8, channels=3)
    assert "\n" not in str(caught.value)


def test_the_number_of_channels_is_tried() -> None:
    """The convolution defined first is not the one that runs first."""
    net = Given(lambda net, x: net.parts[0](net.parts[1](x)), nn.Conv2d(7, 2, 1), nn.Conv2d(5, 7, 1))
    assert ca.measure(net, size=8).input == (5, 8, 8)
    assert ca.measure(nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 4, 3)), size=64).input == (3, 64, 64)
    assert ca.measure(nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(16, 4, 3)), size=64).input == (1, 64, 64)
    with pytest.raises(SizeError, match="cannot take an input of 2 x 8 x 8"):
        ca.measure(net, size=8, channels=2)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.dense = nn.Embedding(100, 8), nn.Linear(8, 4)

    def forward(self, words: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        y = self.dense(self.table(words))
        return {"y": y if mask is None else y * mask[..., None]}


INPUTS: dict[str, tuple[nn.Module, dict[str, object], int, tuple[int, ...]]] = {
    "sound": (nn.Conv1d(1, 4, 9, 4), {"input_shape": (1, 16000)}, 4 * 3998 * 9, (4, 3998)),
    "volume": (nn.Conv3d(1, 4, 3), {"input_shape": (1, 8, 9, 10)}, 4 * 6 * 7 * 8 * 27, (4, 6, 7, 8)),
    "words": (Words(), {"input_shape": (16,)}, 16 * 8 * 4, (16, 4)),
    "keywords": (Words(), {"inputs": {"words": torch.ones(1, 7).long(), "mask": torch.ones(1, 7)}}, 7 * 32, (7, 4)),
    "several": (nn.Bilinear(3, 4, 5), {"input_shape": ((3,), (4,))}, 60, (5,)),
    "arguments": (nn.Bilinear(3, 4, 5), {"inputs": (torch.ones(1, 3), torch.ones(1, 4))}, 60, (5,)),
    "a dict": (
        Given(lambda net, x: net.parts[0](x["photo"]), nn.Conv2d(3, 2, 1)),
        {"inputs": {"photo": torch.ones(1, 3, 5, 5)}},
        6 * 25,
        (2, 5, 5),
    ),
    "a list": (
        Given(lambda net, x: net.parts[0](torch.stack(x)), nn.Conv2d(3, 2, 1)),
        {"inputs": [torch.ones(3, 5, 5)]},
        6 * 25,
        (2, 5, 5),
    ),
    "tokens": (nn.TransformerEncoderLayer(8, 2, 16), {"input_shape": (7, 8)}, 7 * (4 * 64 + 2 * 8 + 2 * 128), (7, 8)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(INPUTS))
def test_inputs_that_are_no_photos(name: str) -> None:
    net, inputs, macs, output = INPUTS[name]
    anatomy = ca.measure(net, **inputs)
    assert (anatomy.macs, anatomy.output) == (macs, output)
    assert anatomy.draw().width > 0
    assert ca.compare(net, net, **inputs).shared == 1


def test_a_refusal_says_how_other_inputs_are_given() -> None:
    with pytest.raises(SizeError, match=r"inputs=\.\.\., or input_shape=\.\.\. without the batch"):
        ca.measure(nn.Conv1d(1, 4, 3))
    with pytest.raises(ConvAtlasError, match="inputs are for your own module"):
        ca.measure("resnet18", inputs=torch.zeros(1, 3, 8, 8))
    with pytest.raises(SizeError, match=r"\(channels, height, width\); got \(64,\)"):
        ca.measure("resnet18", input_shape=(64,))
