"""Class names of the data sets that nets were trained on.

`data/imagenet1k.csv` holds the 1000 classes of ILSVRC 2012 (Russakovsky et al. 2015), sorted by synset, as keras,
torchvision, timm and TensorFlow's nets order their outputs. A name is the first lemma of the synset in WordNet 3.0
(Princeton University, 2006). Where two classes share it, the second lemma is added ("maillot, tank suit") or, if there
is none, a word of WordNet's definition in brackets ("crane (bird)", "crane (machine)").

`data/imagenet1k_darknet.csv` holds the same classes in the order of ILSVRC's own numbers, the order of the outputs of
darknet's classifiers (darknet, `data/imagenet.labels.list`).

`data/coco.csv` holds the 80 classes of COCO's boxes (Lin et al. 2014) with the data set's own numbers, 1 to 90 with
gaps; `data/voc.csv` the 20 classes of PASCAL VOC 2007 (Everingham et al. 2010), in alphabetical order.
`data/digits.csv` holds the ten classes of MNIST.
"""

from __future__ import annotations

import functools
from importlib import resources

from convatlas.base.errors import unknown
from convatlas.base.files.csv_file import read_table

_FILES = {
    "imagenet1k": "imagenet1k.csv",
    "imagenet1k_darknet": "imagenet1k_darknet.csv",
    "coco": "coco.csv",
    "voc": "voc.csv",
    "digits": "digits.csv",
}


def labels(name: str = "imagenet1k") -> tuple[str, ...]:
    """Return the short English names of a data set's classes, all different, in the order of the net's outputs.

    Raises:
        UnknownName: There is no such data set.
    """
    return tuple(row["name"] for row in _rows(name))


def synsets(name: str = "imagenet1k") -> tuple[str, ...]:
    """Return the WordNet 3.0 identifiers of the same classes in the same order, such as "n02124075".

    Raises:
        UnknownName: There is no such data set, or its classes are not synsets.
    """
    if name in _FILES and "synset" not in _rows(name)[0]:
        raise unknown("set of synsets", name, ["imagenet1k"])
    return tuple(row["synset"] for row in _rows(name))


@functools.cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    if name not in _FILES:
        raise unknown("set of class names", name, _FILES)
    text = (resources.files(__package__) / "data" / _FILES[name]).read_text(encoding="utf-8")
    columns = text.partition("\n")[0].split(",")
    rows = tuple(row for _, row in read_table(text, _FILES[name], columns))
    if "name" not in rows[0]:
        names = dict(zip(synsets(), labels(), strict=True))
        rows = tuple(row | {"name": names[row["synset"]]} for row in rows)
    return rows
