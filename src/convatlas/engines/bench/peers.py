"""Build the same nets of timm and torchvision (peers), in PyTorch's eager mode."""

from __future__ import annotations

import importlib
from typing import Any

from convatlas.base.errors import ConvAtlasError, first_line, unknown
from convatlas.base.extras import installed
from convatlas.catalogue.lineages import weights_of
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.session import Float32Array, Session

PEERS = ("timm", "torchvision")


def check_peers(names: tuple[str, ...]) -> None:
    """Check that peers are known and installed.

    Raises:
        UnknownName: There is no such peer.
        ConvAtlasError: A peer is not installed.
    """
    for name in names:
        if name not in PEERS:
            raise unknown("peer", name, PEERS)
        if not installed(name):
            raise ConvAtlasError(f"{name} is not installed: pip install {name}")


def peer(name: str, net: str, x: Float32Array) -> Session | None:
    """Session of a peer's net with random weights, after a first run on `x`; None if the peer has no such net.

    Raises:
        ConvAtlasError: The net cannot be built or run on `x`; the text quotes the error.
    """
    row = next((row for row in weights_of(net) if row.origin == name and row.outputs), None)
    if row is None:
        return None
    module: Any = importlib.import_module("torchvision.models" if name == "torchvision" else name)
    create = module.get_model if name == "torchvision" else module.create_model
    model = row.model.partition(".")[0]
    # torchvision takes half a minute to draw the random weights of these two.
    slow = name == "torchvision" and model in ("googlenet", "inception_v3")
    try:
        session = EagerMode((create(model, init_weights=False) if slow else create(model)).eval())
        session(x)
    # Other libraries may raise anything.
    except Exception as error:
        raise ConvAtlasError(f"{net} in {name}: {first_line(error)}") from None
    return session
