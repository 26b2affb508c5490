"""What every engine tells about itself and can do; each file of `backends/` has one subclass. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import installed
from convatlas.engines.options import Options

if TYPE_CHECKING:
    from torch import nn

    from convatlas.engines.session import Session
    from convatlas.engines.workspace import Workspace


class Backend:
    """An engine that runs nets. Importing its file must not import PyTorch.

    Attributes:
        precisions: What it computes in.
        packages: Packages it needs beside PyTorch.
        optional_packages: Packages it uses where they are installed.
        extra: The extra of convatlas that installs them.
        needs_torch: Whether a session needs PyTorch.
        preparation: Rough seconds until a net is ready for the first time; engines are listed and tried in this order.
        speedup: How many times faster than eager mode it can be; where this is finite, "auto" tries the engine last
            and only if it could still win.
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
        """Its name, which is the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def installed(self) -> bool:
        """Whether all packages it needs are installed."""
        return all(map(installed, self.packages))

    def check_installed(self) -> None:
        """Refuse to continue without the packages it needs.

        Raises:
            ConvAtlasError: One is missing; says how to install it.
        """
        if not self.installed:
            raise ConvAtlasError(f"the engine {self.name} is not installed: pip install 'convatlas[{self.extra}]'")

    def check_machine(self, folder: Path, options: Options) -> None:
        """Refuse options that this machine cannot run.

        Raises:
            ConvAtlasError: A compiler or an instruction set is missing; says which.
        """

    def candidates(self, precision: str, batch: int, convolves: bool) -> list[Options]:
        """Options worth trying for a batch size; `convolves` says whether the net has convolutions."""
        return [Options(self.name, precision, batch)]

    def files(self, folder: Path, options: Options) -> tuple[Path, ...]:
        """Files that a session is opened from; none for an engine that runs the net object itself."""
        return ()

    def build(self, workspace: Workspace, options: Options) -> None:
        """Write those of its files that are missing; what takes longer or may crash is left to the first `open`.

        Raises:
            ConvAtlasError: The net has no counterpart in the engine's format; names the operation.
        """

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> Session:
        """Open a session from the files in `folder`, or for `net` itself if the engine has no files.

        Raises:
            ConvAtlasError: A package is not installed, or the engine refuses the files.
        """
        raise NotImplementedError

    def share(self, session: Session, callers: int) -> Session | None:
        """A session that `callers` threads may call at the same time; None if calls have to wait for each other."""
        return None
