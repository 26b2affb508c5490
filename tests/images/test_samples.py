"""Sample photos, and what this room may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convatlas.base.errors import ImageError, UnknownName
from convatlas.images import samples
from convatlas.images.decoding import read


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_every_sample_is_a_photo(name: str) -> None:
    photo = read(samples.sample(name))
    assert min(photo.shape[:2]) >= 300
    assert photo.std() > 20


def test_an_unknown_sample_gets_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="chelsea"):
        samples.sample("chelsey")
    with pytest.raises(UnknownName, match="astronaut, chelsea, coffee, rocket"):
        samples.sample("zzz")


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImageError, match="not installed"):
        samples.sample("coffee")


def test_neither_torch_nor_scikit_image_is_imported() -> None:
    code = (
        "import sys\n"
        "from convatlas.images import decoding, folders, labels, preprocessing, samples\n"
        "decoding.read(samples.sample('coffee')), labels.labels()\n"
        "print([name for name in ('torch', 'skimage', 'scipy') if name in sys.modules])\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
