"""Names of classes.

`data/imagenet1k.csv` holds the 1000 classes of ILSVRC 2012 (Russakovsky et al. 2015), sorted by synset, as keras,
torchvision, timm and TensorFlow's nets number their outputs. A name is the first lemma of the synset in WordNet 3.0
(Princeton University, 2006). Where two classes share it, one with a second lemma shows that too ("maillot, tank suit"),
and one without says in brackets what WordNet defines it as ("crane (bird)", "crane (machine)").
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

from convatlas.base.errors import unknown

_FILES = {"imagenet1k": "imagenet1k.csv"}


def labels(name: str = "imagenet1k") -> tuple[str, ...]:
    """Give the short English names of a data set's classes, all different, in the order of the net's outputs.

    Raises:
        UnknownName: there is no such data set.
    """
    return tuple(label for _, label in _rows(name))


def synsets(name: str = "imagenet1k") -> tuple[str, ...]:
    """Give the WordNet 3.0 identifiers of the same classes in the same order, such as "n02124075".

    Raises:
        UnknownName: there is no such data set.
    """
    return tuple(synset for synset, _ in _rows(name))


@functools.cache
def _rows(name: str) -> tuple[tuple[str, str], ...]:
    if name not in _FILES:
        raise unknown("set of class names", name, _FILES)
    text = (resources.files(__package__) / "data" / _FILES[name]).read_text(encoding="utf-8")
    return tuple((row["synset"], row["name"]) for row in csv.DictReader(text.splitlines()))
