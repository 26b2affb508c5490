"""Tables of torchvision's and timm's weights, regenerated from the installed libraries.

`python -m tests.weights.tables` writes them into the catalogue. Accuracies of timm are not in its package: they are
those of its results-imagenet.csv, and stay as they are in the table.
"""

from __future__ import annotations

import math
import re
from importlib.resources import files

import timm
from torchvision import models

from convatlas.base.atomic import write_bytes
from convatlas.catalogue.lineages import Weights, all_weights, table_text
from convatlas.weights.registry import origin

TORCHVISION = {
    **{name: name for name in ("vgg16", "vgg19", "resnet50", "resnet101", "resnet152")},
    **{name: name for name in ("densenet121", "densenet169", "densenet201", "inception_v3", "mobilenet_v2")},
    **{f"efficientnet_b{n}": f"efficientnet_b{n}" for n in range(8)},
    **{f"efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in "sml"},
    **{f"convnext_{size}": f"convnext_{size}" for size in ("tiny", "small", "base", "large")},
    "alexnet_one_tower": "alexnet",
    "googlenet_bn": "googlenet",
    **{name: name for name in ("resnet18", "resnet34", "resnext50_32x4d")},
    **{f"shufflenet_v2_{width}": f"shufflenet_v2_{width}" for width in ("x0_5", "x1_0", "x1_5", "x2_0")},
}
"""Their net by our name."""

TIMM = {
    **{name: (name,) for name in ("vgg16", "vgg19", "resnet50", "resnet101", "resnet152")},
    **{name: (name,) for name in ("densenet121", "densenet169", "densenet201", "inception_v3", "inception_resnet_v2")},
    "xception": ("legacy_xception",),
    "mobilenet": ("mobilenetv1_100",),
    "mobilenet_v2": ("mobilenetv2_100",),
    "nasnet_large": ("nasnetalarge",),
    **{f"efficientnet_b{n}": (f"tf_efficientnet_b{n}", f"efficientnet_b{n}") for n in range(8)},
    **{f"efficientnetv2_{size}": (f"tf_efficientnetv2_{size}",) for size in ("b0", "b1", "b2", "b3", "s", "m", "l")},
    "efficientnet_lite0": ("tf_efficientnet_lite0", "efficientnet_lite0"),
    **{f"efficientnet_lite{n}": (f"tf_efficientnet_lite{n}",) for n in range(1, 5)},
    **{f"convnext_{size}": (f"convnext_{size}",) for size in ("tiny", "small", "base", "large", "xlarge")},
    **{name: (name,) for name in ("resnet18", "resnet34", "resnext50_32x4d")},
    "se_resnet50": ("seresnet50",),
    "se_resnext50_32x4d": ("seresnext50_32x4d",),
}
"""Their nets by our name, the one nearest to ours first."""

LICENCES = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "cc-by-nc-4.0": "CC-BY-NC-4.0", "mit": "MIT"}


def torchvision_rows() -> list[Weights]:
    """Every version of the weights of every net that both have."""
    return [_torchvision(net, their, member) for net, their in TORCHVISION.items() for member in _versions(their)]


def _versions(net: str) -> list[models.WeightsEnum]:
    return list(models.get_model_weights(net))


def _torchvision(net: str, their: str, member: models.WeightsEnum) -> Weights:
    transforms, meta = member.transforms(), member.meta
    file = member.url.rsplit("/", 1)[1]
    metrics = meta["_metrics"]["ImageNet-1K"]
    has_head = not math.isnan(metrics["acc@1"])
    return Weights(
        net=net,
        name=f"torchvision/{member.name}",
        address=member.url,
        file=file,
        hash=re.search(r"-([0-9a-f]{8,})\.pth$", file).group(1)[:31],
        bytes=round(meta["_file_size"] * 2**20),
        licence="BSD-3-Clause",
        top1=f"{metrics['acc@1']:.3f}" if has_head else "",
        top5=f"{metrics['acc@5']:.3f}" if has_head else "",
        model=f"{their}.{member.name}",
        outputs=len(meta["categories"]) if has_head and meta["categories"] else 0,
        size=transforms.crop_size[0],
        geometry="resize_crop",
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        pixels=_pixels("torchvision", tuple(transforms.mean), tuple(transforms.std)),
    )


def timm_rows() -> list[Weights]:
    """Every tag of every net that both have, with the 1000 classes of ImageNet."""
    return [
        _timm(net, tag)
        for net, architectures in TIMM.items()
        for architecture in architectures
        for tag in timm.list_pretrained(f"{architecture}.*")
        if timm.get_pretrained_cfg(tag).num_classes == 1000
    ]


def _timm(net: str, model: str) -> Weights:
    config = timm.get_pretrained_cfg(model)
    name = f"timm/{model.partition('.')[2]}"
    known = {row.model: row for row in all_weights() if row.origin == "timm"}.get(model)
    size = config.input_size[1]
    return Weights(
        net=net,
        name=name,
        address=config.hf_hub_id or config.url,
        file="model.safetensors" if config.hf_hub_id else config.url.rsplit("/", 1)[1],
        hash="" if config.hf_hub_id else re.search(r"-([0-9a-f]{8,})\.pth$", config.url).group(1),
        bytes=None,
        licence=LICENCES.get(config.license or "", config.license or ""),
        top1=known.top1 if known else "",
        top5=known.top5 if known else "",
        model=model,
        outputs=config.num_classes,
        size=size,
        geometry="squash" if config.crop_mode == "squash" else "resize_crop",
        resize=math.floor(size / config.crop_pct),
        interpolation=config.interpolation,
        pixels=_pixels("timm", config.mean, config.std),
    )


def _pixels(library: str, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    pixels = origin(library).pixels.items()
    (name,) = (name for name, (scale, m, s, *_) in pixels if scale == 255 and (m, s) == (mean, std))
    return name


def table(library: str) -> str:
    """The committed table."""
    return (files("convatlas.catalogue") / "data" / "weights" / f"{library}.csv").read_text("utf-8")


if __name__ == "__main__":
    for library, rows in (("torchvision", torchvision_rows()), ("timm", timm_rows())):
        write_bytes(files("convatlas.catalogue") / "data" / "weights" / f"{library}.csv", table_text(rows).encode())
        print(library, len(rows))
