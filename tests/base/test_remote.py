"""Where the store is and its files are, as the environment and the platform say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convatlas.base.errors import StoreError
from convatlas.base.store.remote import Remote, home, offline, path_of


def test_home_is_what_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for said, meant in {"/a/b": "/a/b", "~/b": f"{tmp_path}/b", "b": f"{tmp_path}/b"}.items():
        monkeypatch.setenv("CONVATLAS_HOME", said)
        assert home() == Path(meant)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "{home}/.cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": ""}, "{home}/.cache/convatlas"),
        ("linux", {"CONVATLAS_HOME": ""}, "{home}/.cache/convatlas"),
        ("darwin", {"XDG_CACHE_HOME": "/big/cache"}, "{home}/Library/Caches/convatlas"),
        ("win32", {"LOCALAPPDATA": "/users/me/local"}, "/users/me/local/convatlas"),
        ("win32", {}, "{home}/AppData/Local/convatlas"),
    ],
)
def test_home_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("CONVATLAS_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(home()) == expected.format(home=tmp_path)


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_HOME", "~nobody-of-this-name/x")
    with pytest.raises(StoreError, match="set CONVATLAS_HOME to a folder"):
        home()
    monkeypatch.setenv("CONVATLAS_HOME", "/a\nb")
    with pytest.raises(StoreError, match=r"'/a\\nb'; set CONVATLAS_HOME"):
        home()


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVATLAS_OFFLINE", raising=False)
    assert not offline()
    for value in ("", "0", "false", "no", "No", "FALSE", " 0 "):
        monkeypatch.setenv("CONVATLAS_OFFLINE", value)
        assert not offline()
    for value in ("1", "true", "yes", "off", "2", "00"):
        monkeypatch.setenv("CONVATLAS_OFFLINE", value)
        assert offline()


def test_where_a_file_is(store: Path) -> None:
    remote = Remote("https://weights.example/dir/net.h5?x=1", "net-1.0_a.h5")
    assert path_of(remote) == store / "downloads" / "net-1.0_a.h5"
    assert path_of(remote, "converted/keras") == store / "converted" / "keras" / "net-1.0_a.h5"
    assert not store.exists()


def test_it_needs_no_torch() -> None:
    code = "import sys, convatlas.base.store.fetch; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
