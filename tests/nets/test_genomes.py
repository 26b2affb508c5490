"""Genes in nets: every gene on every family, the default genome bit for bit, keys that stay, and refusals that help."""

from __future__ import annotations

import pytest
import torch
from tests.nets.nets import SMALL, answer

from convatlas.base.errors import ConvAtlasError, GeneError, SizeError, UnknownName
from convatlas.genes.gene import Gene
from convatlas.genes.genome import PUBLISHED
from convatlas.genes.loci import COUNTS, LOCI, RATES
from convatlas.genes.padding import Pad
from convatlas.genes.pooling import AveragePool
from convatlas.nets.build import build, family_of, skeleton

GENES = [(locus, name) for locus, genes in LOCI.items() for name in genes] + [(rate, 0.1) for rate in RATES]
GENES += [(count, 2) for count in COUNTS]

# Reflection and the torus need maps wider than their border, NASNet's 7 x 7 kernels the widest of all.
WIDER = {("nasnet_mobile", "padding"): 224, ("efficientnet_b0", "padding"): 192, ("efficientnet_lite0", "padding"): 192}
# Without borders a map shrinks in every layer.
WIDER |= {("vgg16", "alignment"): 224, ("alexnet", "alignment"): 224}
WIDER |= {
    (net, "padding"): 192
    for net in ("convnext_tiny", "efficientnetv2_b0", "inception_v3", "inception_resnet_v2", "yolo_v1_tiny")
}

PERCEPTRONS = ("mlp_300", "elman")
LENETS = ("lenet1", "lenet5", "boosted_lenet4")

NO_LOCUS = {
    "pooling": (
        "mobilenet",
        "mobilenet_v2",
        "efficientnet_b0",
        "efficientnetv2_b0",
        "efficientnet_lite0",
        "convnext_tiny",
        *PERCEPTRONS,
    ),
    "stochastic_depth": (
        *("alexnet", "vgg16", "inception_v1", "inception_v3", "mobilenet", "shufflenet_v2_x0_5"),
        *("densenet121", "nasnet_mobile", "darknet19", "yolo_v1_tiny", "yolo_v3_tiny"),
        *PERCEPTRONS,
        *LENETS,
    ),
    "skip": (
        *("alexnet", "vgg16", "inception_v1", "inception_v3", "mobilenet", "shufflenet_v2_x0_5"),
        *("densenet121", "nasnet_mobile", "darknet19", "yolo_v1_tiny", "yolo_v3_tiny"),
        *PERCEPTRONS,
        *LENETS,
        *("capsnet", "matrix_capsnet_small", "cognitron", "neocognitron"),
    ),
    "flattening": ("yolo_v3_tiny",),
    "feedback": tuple(net for net in SMALL if net not in PERCEPTRONS),
    "output": tuple(net for net in SMALL if net not in PERCEPTRONS + LENETS),
    "auxiliary": tuple(net for net in SMALL if net != "inception_v1"),
    "dropout": ("yolo_v3_tiny", *PERCEPTRONS),
} | dict.fromkeys(("convolution", "padding", "alignment", "normalization", "attention"), PERCEPTRONS)

# Capsules do without most genes, Fukushima's nets without almost all.
CAPSULES, ANCESTORS = ("capsnet", "matrix_capsnet_small"), ("cognitron", "neocognitron")
WITHOUT = dict.fromkeys(("padding", "alignment", "flattening", "dropout", "stochastic_depth"), CAPSULES + ANCESTORS)
WITHOUT |= dict.fromkeys(("normalization", "activation", "attention"), ANCESTORS)
WITHOUT |= {"convolution": ("matrix_capsnet_small", *ANCESTORS), "pooling": (*CAPSULES, "cognitron")}
NO_LOCUS |= {locus: (*NO_LOCUS.get(locus, ()), *nets) for locus, nets in WITHOUT.items()}
NO_LOCUS |= {lost: tuple(net for net in SMALL if net not in CAPSULES) for lost in ("routing", "iterations")}
NO_LOCUS["decoder"] = tuple(net for net in SMALL if net != "capsnet")

# What does not fit, and why.
UNFIT = {
    # A depthwise convolution makes a multiple of its inputs: 32 maps from 128 are none, nor are most changes of width.
    *((net, "convolution", "depthwise") for net in ("densenet121", "inception_v3", "inception_resnet_v2")),
    *((net, "convolution", "depthwise") for net in ("nasnet_mobile", "xception", "efficientnetv2_b0")),
    *((net, "convolution", "depthwise") for net in ("yolo_v1_tiny", "yolo_v3_tiny", "alexnet", "inception_v1")),
    # Its last convolution gives a map for each class, from which one number is to come.
    *(("darknet19", "flattening", gene) for gene in ("flatten", "pyramid")),
    # Without borders the branch is smaller than what it is added to, or joined with.
    # MobileNet's 224 pixels are used up before its last block.
    *((net, "alignment", "valid") for net in SMALL if net not in ("vgg16", "alexnet", *LENETS)),
    # 120 single units from 16 maps, and 16 maps from 6; windows of 9 x 9 leave too little for the last 5 x 5.
    *((net, "convolution", kind) for net in ("lenet5", "boosted_lenet4") for kind in ("depthwise", "dilated")),
    # Bitmaps have 84 pixels.
    *((net, "output", "rbf") for net in ("mlp_300", "elman", "lenet1", "boosted_lenet4")),
    # Matrix capsules have an activation beside their pose.
    ("matrix_capsnet_small", "routing", "dynamic"),
}


def run(name: str, locus: str, value: object, size: int) -> None:
    net = build(name, classes=7, size=size, genes={locus: value}, seed=1).train()
    x = torch.randn(2, net.channels, size, size, generator=torch.Generator().manual_seed(0))
    outputs = net.outputs(x)
    answers = [outputs["head"], *(outputs[name] for name in net.loss_weights)]
    assert all(y.shape == (2, *answer(name, 7, size)) for y in (net(x), *answers))
    if name == "capsnet" and net.genome.decoder != "none":
        answers.append(outputs["reconstruction"])
    assert all(torch.isfinite(y).all() for y in answers)
    if "reconstruction" in outputs:
        answers.append(outputs["reconstruction"])
    sum(y.square().mean() for y in answers).backward()
    for path, parameter in net.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path


def check(name: str, locus: str, value: object) -> None:
    size = WIDER.get((name, locus), SMALL[name])
    if name in NO_LOCUS.get(locus, ()):
        with pytest.raises(GeneError, match=f"{name} has no {locus} to swap; it has "):
            skeleton(name, genes={locus: value})
    elif (name, locus, value) in UNFIT:
        with pytest.raises(
            GeneError, match=f"{locus}={value} does not fit {name} at {size} x {size}; these do: "
        ) as told:
            skeleton(name, size=size, genes={locus: value})
        listed = str(told.value).split("these do: ")[1].split(", ")
        fit = [other for other in LOCI[locus] if (name, locus, other) not in UNFIT]
        assert [other for other in listed if other != PUBLISHED] == fit
    else:
        run(name, locus, value, size)


CASES = [(net, *gene) for net in SMALL for gene in GENES]
QUICK = 23
"""Every so many cases one runs in the quick run; prime to the number of genes, so that each gene meets some net."""


@pytest.mark.parametrize(("net", "locus", "value"), CASES[::QUICK])
def test_a_gene_on_a_net(net, locus, value):
    check(net, locus, value)


@pytest.mark.sweep
@pytest.mark.parametrize(("net", "locus", "value"), [case for number, case in enumerate(CASES) if number % QUICK])
def test_every_other_gene_on_every_other_net(net, locus, value):
    check(net, locus, value)


@pytest.mark.parametrize("name", SMALL)
def test_the_default_genome_is_the_published_net_bit_for_bit(name):
    family = family_of(skeleton(name).card)
    published = family.default_genome(family.variants[name])
    loci = (*LOCI, *RATES, *COUNTS)
    genes = {locus: getattr(published, locus) for locus in loci if getattr(published, locus) is not None}
    size = SMALL[name]
    plain, spelled = build(name, size=size).eval(), build(name, size=size, genes=genes).eval()
    x = torch.randn(1, plain.channels, size, size, generator=torch.Generator().manual_seed(0))
    assert spelled.genome == plain.genome
    assert list(plain.state_dict()) == list(spelled.state_dict())
    assert torch.equal(plain(x), spelled(x))


# Whose dense layer has more weights for a whole map than for its means.

WEIGHTLESS = [
    ("activation", "gelu"),
    ("activation", "bell"),
    ("padding", "replicate"),
    ("alignment", "symmetric"),
    ("pooling", "average"),
    ("pooling", "stochastic"),
    ("pooling", "blurred"),
    ("pooling", "overlapping"),
    ("flattening", "global_max"),
    ("dropout", 0.5),
    ("stochastic_depth", 0.5),
    ("iterations", 7),
]


# Where the published pooling has weights, or a dense layer reads the whole map.
RESHAPED = {(net, locus) for net in LENETS for locus in ("pooling", "alignment")}
RESHAPED |= {(net, "flattening") for net in ("vgg16", "alexnet", "yolo_v1_tiny", "lenet1", *PERCEPTRONS)}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("locus", "value"), WEIGHTLESS)
def test_a_swap_without_weights_keeps_every_key_and_shape(name, locus, value):
    if name in NO_LOCUS.get(locus, ()) or (name, locus) in RESHAPED:
        return
    plain, swapped = skeleton(name).state_dict(), skeleton(name, genes={locus: value}).state_dict()
    assert {key: tensor.shape for key, tensor in plain.items()} == {
        key: tensor.shape for key, tensor in swapped.items()
    }


@pytest.mark.parametrize("name", SMALL)
def test_four_genes_at_once(name):
    genes = {"activation": "gelu", "normalization": "group", "padding": "reflect", "pooling": "average"}
    genes = {locus: value for locus, value in genes.items() if name not in NO_LOCUS.get(locus, ())}
    net = skeleton(name, genes=genes)
    assert {locus: getattr(net.genome, locus) for locus in genes} == genes


def test_aliases_and_other_spellings():
    assert skeleton("vgg16", genes={"activation": "swish"}).genome.activation == "silu"
    assert skeleton("vgg16", genes={"activation": "Leaky-ReLU"}).genome.activation == "leaky"
    assert skeleton("vgg16", genes={"activation": LOCI["activation"]["gelu"]}).genome.activation == "gelu"


class Own(torch.nn.Module):
    """What a gene of the user's own makes; a function of the map and of what it was made with."""

    def __init__(self, run, *made_with):
        super().__init__()
        self.run, self.made_with = run, made_with

    def forward(self, x):
        return self.run(x, *self.made_with)


def own(locus, run):
    return Gene(locus, "own", "-", "-", "0", "0", "-", lambda *made_with: Own(run, *made_with))


OWN = [
    own("activation", lambda x, channels: x.abs()),
    own("attention", lambda x, channels, squeezed, activate: x * x.mean((2, 3), keepdim=True)),
    own("flattening", lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)),
    own("normalization", lambda x, channels, norm: x / (x.square().mean() + norm.eps).sqrt()),
    own("padding", lambda x, alignment, kernel, stride: Pad(alignment, kernel, stride)(x) + 1),
    own("alignment", lambda x, kernel, stride, fill: Pad("same", kernel, stride, fill)(x)),
    own(
        "pooling",
        lambda x, channels, kernel, stride, alignment, border: AveragePool(channels, kernel, stride, alignment)(x),
    ),
]


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "vgg16"])
@pytest.mark.parametrize("gene", OWN, ids=lambda gene: gene.locus)
def test_genes_of_one_s_own(name, gene):
    if name in NO_LOCUS.get(gene.locus, ()):
        return
    net = build(name, size=64, classes=3, genes={gene.locus: gene}).eval()
    assert any(isinstance(module, Own) for module in net.modules())
    x = torch.randn(1, 3, 64, 64)
    assert net(x).shape == (1, 3)
    # What the published gene adds in the convolution, the user's own adds in front of it.
    if gene.locus in ("padding", "alignment"):
        published = build(name, size=64, classes=3).eval()
        assert list(published.state_dict()) == list(net.state_dict())
        assert not torch.equal(published(x), net(x)) or gene.locus == "alignment"
        assert not any(any(module.padding) for module in net.modules() if isinstance(module, torch.nn.Conv2d))


def test_an_own_filling_is_the_one_that_counts():
    """An own gene that does what `replicate` does makes the same net."""
    replicate = Gene(
        "padding",
        "mine",
        "-",
        "-",
        "0",
        "0",
        "-",
        lambda alignment, kernel, stride: Pad(alignment, kernel, stride, "replicate"),
    )
    x = torch.randn(1, 3, 64, 64)
    for name in ("resnet50", "mobilenet_v2"):
        mine, theirs = (build(name, genes={"padding": gene}).eval() for gene in (replicate, "replicate"))
        torch.testing.assert_close(mine(x), theirs(x))


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121"])
def test_a_map_of_one_position_can_be_flattened_whole(name):
    """The published net's last map, of a photo of 32 pixels, in training mode too."""
    net = build(name, size=32, classes=3, genes={"flattening": "flatten"})
    assert all(module.training for module in net.modules())
    assert net.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"name": "resnet5"}, UnknownName, "resnet50"),
        ({"name": "zzz"}, UnknownName, "known"),
        ({"name": "resnet50", "genes": {"aktivation": "relu"}}, UnknownName, "activation"),
        ({"name": "resnet50", "genes": {"activation": "gleu"}}, UnknownName, "gelu"),
        ({"name": "resnet50", "genes": {"pooling": "global_average"}}, GeneError, "flattening"),
        ({"name": "resnet50", "genes": {"activation": None}}, GeneError, "the name of a gene, or a `Gene`; got None"),
        ({"name": "resnet50", "genes": {"activation": OWN[1]}}, GeneError, "own is a gene of attention, not of act"),
        ({"name": "resnet50", "genes": {3: "relu"}}, UnknownName, "activation"),
        ({"name": "resnet50", "genes": "activation=gelu"}, GeneError, "a table from locus to gene"),
        ({"name": "mobilenet", "seed": -1}, ConvAtlasError, "from 0 to 2"),
        ({"name": "mobilenet", "seed": 2**64}, ConvAtlasError, "from 0 to 2"),
        ({"name": "mobilenet", "seed": "a"}, ConvAtlasError, "a seed is a whole number"),
        ({"name": "resnet50", "genes": {"dropout": 1.0}}, GeneError, "probability"),
        ({"name": "resnet50", "genes": {"dropout": True}}, GeneError, "probability"),
        ({"name": "resnet50", "genes": {"dropout": "many"}}, GeneError, "probability"),
        ({"name": "resnet50", "size": 0}, SizeError, "1 to 8192"),
        ({"name": "resnet50", "size": (3, 4, 5)}, SizeError, "pair"),
        ({"name": "resnet50", "size": "big"}, SizeError, "pair"),
        ({"name": "resnet50", "size": 1e9}, SizeError, "pair"),
        ({"name": "vgg16", "size": 31}, SizeError, "smallest it takes is 32 x 32"),
        ({"name": "inception_v3", "size": 74}, SizeError, "smallest it takes is 75 x 75"),
        ({"name": "resnet50", "classes": 0}, SizeError, "classes"),
        ({"name": "resnet50", "channels": -1}, SizeError, "channels"),
        ({"name": "nasnet_mobile", "size": 32, "genes": {"padding": "reflect"}}, GeneError, "these do: zeros"),
        ({"name": "lenet5", "classes": 26}, GeneError, "26 classes; use dense or squashed"),
        (
            {"name": "lenet5", "classes": 26, "genes": {"output": "dense", "convolution": "dilated"}},
            GeneError,
            "linked",
        ),
        ({"name": "lenet5", "size": 31}, SizeError, "smallest it takes is 32 x 32"),
        ({"name": "linear", "genes": {"feedback": "jordan"}}, GeneError, "these do: none, chain"),
        ({"name": "linear", "genes": {"pooling": "max"}}, GeneError, "linear has no pooling to swap; it has "),
        ({"name": "elman", "genes": {"feedback": "output->hidden2"}}, GeneError, "output->hidden1, output->output"),
        ({"name": "elman", "genes": {"feedback": [("hidden1", "output")]}}, GeneError, "hidden1->hidden1"),
        ({"name": "elman", "genes": {"feedback": [("hidden1",)]}}, GeneError, "pair of layers"),
        ({"name": "elman", "genes": {"feedback": 3}}, GeneError, "pair of layers"),
        ({"name": "elman", "genes": {"feedback": "elmann"}}, UnknownName, "elman"),
        ({"name": "resnet50", "genes": {"feedback": "elman"}}, GeneError, "no feedback to swap"),
    ],
)
def test_refusals_say_what_is_allowed(call, error, words):
    with pytest.raises(error, match=words) as told:
        build(**call)
    assert isinstance(told.value, ConvAtlasError)
    assert "\n" not in str(told.value)


def test_a_seed_is_one_net_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = build("mobilenet", seed=5), build("mobilenet", seed=5), build("mobilenet", seed=6)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not torch.equal(one.stem.conv.weight, other.stem.conv.weight)


@pytest.mark.parametrize("name", SMALL)
def test_nothing_is_left_unfilled(name):
    for key, tensor in [*(net := build(name, size=SMALL[name], classes=3)).named_parameters(), *net.named_buffers()]:
        assert tensor.device.type == "cpu", key
        assert torch.isfinite(tensor).all(), key
    again = build(name, size=SMALL[name], classes=3)
    for (key, tensor), (_, other) in zip(net.named_buffers(), again.named_buffers(), strict=True):
        assert torch.equal(tensor, other), key


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_the_stages_and_channels_and_classes_follow(name):
    size = SMALL[name]
    net = build(name, size=size, channels=1, classes=5).eval()
    x = torch.randn(1, 1, size, size)
    outputs = net.outputs(x)
    stages = [stage for stage, _ in net.named_children()]
    assert list(outputs)[: len(stages)] == stages
    assert torch.equal(outputs["head"], net(x))
    assert net(x).shape == (1, *answer(name, 5, size))
