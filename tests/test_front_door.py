"""The front door: light, complete, and with no name that a room has."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import convatlas as ca

LIST = """
import sys
sys.argv = ["convatlas", "list"]
try:
    from convatlas.cli import main; main()
except SystemExit:
    pass
"""
HEAVY = ("torch", "torchvision", "keras", "skimage", "scipy", "matplotlib")


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import convatlas",
        "import convatlas; convatlas.list_nets()",
        LIST,
        "import convatlas.base.tables, convatlas.base.records, convatlas.base.devices, convatlas.catalogue.rules",
        "import convatlas.images.decoding, convatlas.images.preprocessing, convatlas.images.samples",
        "import convatlas.images.download, convatlas.images.photosets",
    ],
)
def test_light_doors_stay_light(code):
    assert not modules_after(code) & set(HEAVY)


def test_every_name_is_there_and_none_is_a_room():
    rooms = {module.name for module in pkgutil.iter_modules(ca.__path__)}
    assert not rooms & set(ca.__all__)
    for name in ca.__all__:
        assert getattr(ca, name).__doc__
    assert set(ca.__all__) <= set(dir(ca))
    with pytest.raises(AttributeError, match="list_nets"):
        ca.nothing
