"""What is measured of the atlas' own nets, against published figures."""

from __future__ import annotations

from importlib.resources import files

import pytest

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.snapshot import FILE, measured, text
from convatlas.catalogue.cards import cards
from convatlas.nets.build import build

# Araujo, Norris & Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill, table 1.
FIELDS = {
    "alexnet": (195, 32),
    "vgg16": (212, 32),
    "resnet50": (483, 32),
    "resnet101": (1027, 32),
    "resnet152": (1507, 32),
    "inception_v3": (1311, 32),
    "inception_resnet_v2": (3039, 32),
    "mobilenet": (315, 32),
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_are_the_published_ones(name):
    anatomy = measure(name)
    field, stride = FIELDS[name]
    assert anatomy.receptive_field == (field, field)
    last = [layer for layer in anatomy.layers if layer.field is not None][-1]
    assert last.field_stride == (stride, stride)


@pytest.mark.parametrize(
    ("name", "macs", "path"),
    [
        ("resnet18", 1814073344, 18),
        ("resnet34", 3663761408, 34),
        ("resnet50", 3857973248, 50),
        ("resnet101", 7570194432, 101),
        ("resnet152", 11282415616, 152),
    ],
)
def test_resnets(name, macs, path):
    anatomy = measure(name)
    assert (anatomy.macs, anatomy.path) == (macs, path)


PATHS = {"alexnet": 8, "vgg16": 16, "vgg19": 19, "inception_v1": 22, "mobilenet": 28, "densenet121": 121}
PATHS |= {"se_resnet50": 50, "resnext50_32x4d": 50, "se_resnext50_32x4d": 50}


@pytest.mark.parametrize(("name", "path"), PATHS.items())
def test_layers_on_the_longest_path(name, path):
    assert measure(name).path == path


def test_the_kept_figures_are_the_measured_ones():
    assert files("convatlas.anatomy.measure").joinpath(FILE).read_text("utf-8") == text()
    assert list(measured()) == list(cards())


def test_a_net_that_was_built_is_measured_as_it_was_built():
    net = build("vgg16", size=(64, 96), channels=1, classes=3)
    assert measure(net) == measure("vgg16", size=(64, 96), channels=1, classes=3)
    assert measure(net).input == (1, 64, 96)
