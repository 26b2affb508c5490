"""From an address to a net: downloaded, verified, converted, kept; also when servers fail."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save as safetensors_bytes
from tests.servers import Fault, Server
from torchvision import models
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import StoreError, WeightsError
from convatlas.base.store.remote import Remote, path_of
from convatlas.catalogue import lineages
from convatlas.catalogue.lineages import Weights, all_weights, weights_of
from convatlas.cli.app import app
from convatlas.weights.listing import local_path


def pth(net: torch.nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def mobilenet() -> tuple[torch.nn.Module, bytes]:
    net = models.mobilenet_v2(weights=None).eval()
    return net, pth(net)


@pytest.fixture
def row(monkeypatch, store, server: Server, mobilenet) -> Weights:
    """torchvision's MobileNetV2, published by the server on this machine."""
    return publish(monkeypatch, server, "torchvision/IMAGENET1K_V1", mobilenet[1])


def publish(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, data: bytes, **change: object) -> Weights:
    published = next(row for row in weights_of("mobilenet_v2") if row.name == name)
    address = server.add(f"/{published.file}", data)
    digest = hashlib.sha256(data).hexdigest()[: len(published.hash)]
    published = dataclasses.replace(published, address=address, hash=digest, **change)
    monkeypatch.setattr(lineages, "_by_net", lambda: {"mobilenet_v2": (published,)})
    return published


def same(net: ca.nets.net.Net, peer: torch.nn.Module) -> bool:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        return torch.allclose(net(x), peer(x), atol=1e-5)


def test_loading_downloads_once(row, server, mobilenet):
    net = ca.load("mobilenet_v2")
    assert same(net, mobilenet[0])
    assert (net.lineage.name, net.lineage.licence) == ("torchvision/IMAGENET1K_V1", "BSD-3-Clause")
    assert ca.fetch("mobilenet_v2") == local_path(row)
    assert same(ca.load(str(local_path(row))), mobilenet[0])
    assert server.count() == 1


def test_fetching_from_the_command_line(row, server):
    done = CliRunner().invoke(app, ["fetch", "mobilenet_v2", "--weights", "torchvision"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(local_path(row))
    listed = json.loads(CliRunner().invoke(app, ["fetch", "mobilenet_v2", "--list", "--json"]).stdout)
    assert [(entry["weights"], entry["here"], entry["licence"]) for entry in listed] == [
        (row.name, True, "BSD-3-Clause")
    ]


def test_a_broken_download_goes_on(row, server, mobilenet):
    server.files[f"/{row.file}"].faults = iter([Fault(cut=5_000_000)])
    assert same(ca.load("mobilenet_v2"), mobilenet[0])
    assert server.count() == 2


def test_a_wrong_file_is_refused_and_nothing_is_kept(row, server):
    server.files[f"/{row.file}"].data = b"another"
    with pytest.raises(StoreError, match=row.hash):
        ca.load("mobilenet_v2")
    assert not local_path(row).exists()
    assert not path_of(Remote(row.address, row.file)).exists()


def test_a_right_hash_of_a_hostile_file(monkeypatch, store, server):
    """A file with the right hash but bad numbers is not converted; a later good file is."""
    bad = models.mobilenet_v2(weights=None).state_dict() | {"classifier.1.bias": torch.full((1000,), torch.nan)}
    file = io.BytesIO()
    torch.save(bad, file)
    row = publish(monkeypatch, server, "torchvision/IMAGENET1K_V1", file.getvalue())
    with pytest.raises(WeightsError, match=r"not finite, in classifier\.1\.bias"):
        ca.load("mobilenet_v2")
    assert not local_path(row).exists()


@pytest.mark.parametrize("switch", [True, False])
def test_without_a_network(row, server, monkeypatch, switch):
    address = row.address
    if switch:
        monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    else:
        server.close()
    with pytest.raises(StoreError) as raised:
        ca.load("mobilenet_v2")
    text = str(raised.value)
    assert "\n" not in text
    assert address in text
    assert str(path_of(Remote(row.address, row.file))) in text
    assert ("CONVATLAS_OFFLINE" in text) is switch


def test_a_file_put_by_hand_serves_without_a_network(row, server, monkeypatch, mobilenet):
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    place = path_of(Remote(row.address, row.file))
    place.parent.mkdir(parents=True)
    place.write_bytes(mobilenet[1])
    assert same(ca.load("mobilenet_v2"), mobilenet[0])
    assert server.count() == 0


def test_a_damaged_cache_is_made_again(row, server, mobilenet):
    ca.fetch("mobilenet_v2")
    local_path(row).write_bytes(local_path(row).read_bytes()[:1000])
    assert same(ca.load("mobilenet_v2"), mobilenet[0])
    assert server.count() == 1


MANY = """
import dataclasses, sys
from convatlas.catalogue import lineages
address, hash = sys.argv[1:]
found = next(row for row in lineages.weights_of("mobilenet_v2") if row.name == "torchvision/IMAGENET1K_V1")
row = dataclasses.replace(found, address=address, hash=hash)
lineages._by_net = lambda: {"mobilenet_v2": (row,)}
import convatlas as ca
print(ca.fetch("mobilenet_v2"))
"""


def test_processes_that_ask_at_once_download_once(row, server):
    command = [sys.executable, "-c", MANY, row.address, row.hash]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == [str(local_path(row))] * 3
    assert server.count() == 1


def test_the_hub_of_timm(monkeypatch, store, server):
    peer = timm.create_model("mobilenetv2_100", pretrained=False).eval()
    data = safetensors_bytes(dict(peer.state_dict()), {"format": "pt"})
    endpoint = server.hub("timm/mobilenetv2_100.ra_in1k", {"model.safetensors": data})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    net = ca.load("mobilenet_v2", weights="timm/ra_in1k")
    assert same(net, peer)
    assert net.lineage.name == "timm/ra_in1k"
    assert endpoint
    server.close()
    local_path(next(row for row in weights_of("mobilenet_v2") if row.name == "timm/ra_in1k")).unlink()
    assert same(ca.load("mobilenet_v2", weights="timm/ra_in1k"), peer)


def test_the_hub_that_is_not_there(monkeypatch, store):
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}"
    )
    with pytest.raises(StoreError, match=r"save the file as .* yourself") as raised:
        ca.load("mobilenet_v2", weights="timm/ra_in1k")
    assert "\n" not in str(raised.value)


def reachable(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def test_the_default_addresses():
    """Every address answers, and every hash in a header is ours; skipped without a network."""
    if not reachable("https://download.pytorch.org"):
        pytest.skip("no network")
    for row in all_weights():
        if "://" in row.address:
            request = urllib.request.Request(row.address, method="HEAD")
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200, row.address


def test_every_row_of_the_tables_is_sound():
    for row in all_weights():
        assert row.licence or row.origin == "keras", row
        assert Path(row.file).name == row.file
        assert len(row.hash) in (0, 8, 9, 10, 32, 64), row
        assert row.outputs in ((10,) if row.origin == "own" else (0, 20, 80, 1000))
        assert not row.top1 or 50 < float(row.top1) < (100 if row.origin == "own" else 92)
