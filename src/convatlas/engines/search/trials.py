"""Open sessions of a net: built, run in a process of their own first, and checked against eager mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from convatlas.base.errors import ConvAtlasError
from convatlas.engines.options import Options
from convatlas.engines.parity.reference import Deviation, Reference
from convatlas.engines.registry import backends
from convatlas.engines.sandbox import run_in_sandbox
from convatlas.engines.session import Session
from convatlas.engines.workspace import Workspace

T = TypeVar("T")


class Trials:
    """Sessions of one net.

    Attributes:
        sessions: Sessions that may be used, by their options.
        deviations: How far their outputs are from those of eager mode.
        refused: Why others may not be used, by engine and precision.
    """

    def __init__(self, workspace: Workspace, reference: Reference):
        self.workspace, self.reference = workspace, reference
        self.sessions: dict[Options, Session] = {}
        self.deviations: dict[Options, Deviation] = {}
        self.refused: dict[str, str] = {}
        self._written: set[Path] = set()

    def try_float32(self, options: Options) -> bool:
        """Open and check a session in float32; return whether it passed. A refusal is recorded."""
        name = f"{options.engine} {options.precision}"
        if name in self.refused:
            return False
        try:
            self.sessions[options], self.deviations[options] = self.with_retry(options, self._verified)
        except ConvAtlasError as error:
            self.refused[name] = str(error)
            return False
        return True

    def drop(self, options: Options, reason: str) -> None:
        """Drop a session that failed later; its engine is refused if no other options of it are left."""
        self.sessions.pop(options, None)
        kind = options.engine, options.precision
        if kind not in {(other.engine, other.precision) for other in self.sessions}:
            self.refused[" ".join(kind)] = reason

    def _verified(self, options: Options) -> tuple[Session, Deviation]:
        """Open a session in float32, and return it with its deviation from eager mode.

        Raises:
            ConvAtlasError: The deviation exceeds the bound.
        """
        session = self.open(options)
        deviation = self.reference.deviation(session(self.reference.x.numpy()))
        if not deviation.holds:
            raise ConvAtlasError(
                f"it differs from eager by {deviation.error:.1e} standard deviations; {deviation.bound:.1e} is allowed"
            )
        return session, deviation

    def with_retry(self, options: Options, work: Callable[[Options], T]) -> T:
        """Return the result of `work`; after an error delete files of earlier searches (maybe damaged) and try again.

        Raises:
            ConvAtlasError: The machine cannot run the options, or `work` fails with new files.
        """
        backend, folder = backends()[options.engine], self.workspace.folder
        backend.check_machine(folder, options)
        try:
            return work(options)
        except ConvAtlasError:
            old = [path for path in backend.files(folder, options) if path not in self._written and path.is_file()]
            if not old:
                raise
            for path in old:
                path.unlink(missing_ok=True)
            return work(options)

    def open(self, options: Options) -> Session:
        """Open a session; the first one of an engine and precision must first run in a process of its own."""
        backend, folder = backends()[options.engine], self.workspace.folder
        backend.drop_damaged(folder, options)
        before = {path for path in backend.files(folder, options) if path.is_file()}
        backend.build(self.workspace, options)
        files = backend.files(folder, options)
        self._written |= set(files) - before
        survived = {(opened.engine, opened.precision) for opened in self.sessions}
        if files and (options.engine, options.precision) not in survived:
            run_in_sandbox(folder, options, self.reference.x.numpy())
        session = backend.open(folder, options, self.workspace.net)
        backend.seal(folder, options)
        return session
