"""Base class of engines; each file in `backends/` defines one subclass. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import installed
from convatlas.base.store.sealed import discard_sealed, seal, sealed_hash
from convatlas.engines.options import Options

if TYPE_CHECKING:
    from torch import nn

    from convatlas.engines.session import Session
    from convatlas.engines.workspace import Workspace


class Backend:
    """An engine that runs nets. Importing a subclass must not import PyTorch.

    Attributes:
        precisions: Precisions that it computes in.
        packages: Packages that it needs besides PyTorch.
        optional_packages: Packages that it uses if they are installed.
        extra: Extra of convatlas that installs them.
        needs_torch: Whether a session needs PyTorch.
        preparation: Rough seconds to prepare a net for the first time; engines are listed and tried in this order.
        speedup: Most times that it is faster than eager mode; if finite, "auto" tries the engine last, and only if it
            could still be the fastest.
        colour: Colour of its bars in charts.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    packages: ClassVar[tuple[str, ...]] = ()
    optional_packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "engines"
    needs_torch: ClassVar[bool] = True
    preparation: ClassVar[float] = 10.0
    speedup: ClassVar[float] = float("inf")
    colour: ClassVar[str] = "#9d755d"

    @property
    def name(self) -> str:
        """Name of the engine, which is that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def installed(self) -> bool:
        """Whether all packages that it needs are installed."""
        return all(map(installed, self.packages))

    def check_installed(self) -> None:
        """Check that the packages that it needs are installed.

        Raises:
            ConvAtlasError: One is missing; the text says how to install it.
        """
        if not self.installed:
            raise ConvAtlasError(f"the engine {self.name} is not installed: pip install 'convatlas[{self.extra}]'")

    def check_machine(self, folder: Path, options: Options) -> None:
        """Check that this machine can run the options.

        Raises:
            ConvAtlasError: A compiler or an instruction set is missing; the text says which.
        """

    def candidates(self, precision: str, batch: int, convolves: bool) -> list[Options]:
        """Options worth trying for a batch size; `convolves` says whether the net has convolutions."""
        return [Options(self.name, precision, batch)]

    def files(self, folder: Path, options: Options) -> tuple[Path, ...]:
        """Files that a session is opened from; empty for an engine that runs the module itself."""
        return ()

    def drop_damaged(self, folder: Path, options: Options) -> None:
        """Delete the files if one of them is not as it was written, so that `build` writes them again."""
        files = [file for file in self.files(folder, options) if file.is_file()]
        if not all(map(sealed_hash, files)):
            for file in files:
                discard_sealed(file)

    def seal(self, folder: Path, options: Options) -> None:
        """Note the hashes of files that were just written and work."""
        for file in self.files(folder, options):
            if file.is_file() and not sealed_hash(file):
                seal(file)

    def are_whole(self, folder: Path, options: Options) -> bool:
        """Whether all files are as they were written."""
        return all(map(sealed_hash, self.files(folder, options)))

    def build(self, workspace: Workspace, options: Options) -> None:
        """Write the files that are missing; the first `open` does what takes longer or may crash.

        Raises:
            ConvAtlasError: An operation, which is named, has no counterpart in the engine's format.
        """

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> Session:
        """Open a session from the files in `folder`, or for `net` itself if the engine has no files.

        Raises:
            ConvAtlasError: A package is not installed, or the engine cannot read the files.
        """
        raise NotImplementedError

    def share(self, session: Session, callers: int) -> Session | None:
        """Session that `callers` threads may call at the same time; None if the engine has no such sessions."""
        return None
