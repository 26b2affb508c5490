"""An address of the web in the place of a file is refused as it was typed; errors point to the help of the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.cli.entry import main
from convatlas.images.samples import sample

URL = "https://example.com//a/b"


@pytest.mark.parametrize(
    "call",
    [
        lambda url: ca.classify(f"{url}.jpg", "lenet5"),
        lambda url: ca.classify([f"{url}.jpg"], "lenet5"),
        lambda url: ca.batch("classify", f"{url}.csv", "out"),
        lambda url: ca.evaluate("lenet5", f"{url}.csv"),
        lambda url: ca.train("lenet5", f"{url}.csv", output="run"),
        lambda url: ca.load("resnet50", weights=f"{url}.pth"),
        lambda url: ca.load(f"{url}.safetensors"),
        lambda url: ca.measure(f"{url}.pt2"),
    ],
)
def test_an_address_is_said_as_it_was_typed(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvAtlasError, match=rf"^'{URL}\.\w+' is an address, not a file on this machine"):
        call(URL)


@pytest.mark.parametrize(
    "words", [["classify", "--nothing"], ["bench", "--batches"], ["classify", "--top", "x", "a.png"]]
)
def test_usage_errors_point_to_the_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["convatlas", *words])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.endswith(f"; see convatlas {words[0]} --help\n")


def test_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundled weights classify all the same, and eager mode runs."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "file" / "store"))
    assert ca.classify(sample("coffee"), top=1).answers[0].label == "espresso"
    assert ca.classify(sample("coffee"), "lenet5", top=1).net == "lenet5"
    assert ca.accelerate("lenet1").record.options.engine == "eager"
