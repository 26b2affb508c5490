"""Open what an earlier search chose; once more, and briefly, it is timed against the next best options."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from convatlas.base.store.sealed import read_sealed_json, write_sealed_json
from convatlas.engines.accelerated_net import Acceleration
from convatlas.engines.options import Options
from convatlas.engines.parity.reference import Reference
from convatlas.engines.registry import backends
from convatlas.engines.search.stopwatch import AGREED, SAME, Stopwatch
from convatlas.engines.session import Float32Array, Session

FEWEST, MOST, SECONDS = 3, 9, 0.5
"""Limits of the rounds at a start."""


class Remembered:
    """The record of an earlier search.

    Args:
        file: File with the record.
        folder: The net's folder in the store.
        reference: Outputs of the net in eager mode.
    """

    def __init__(self, file: Path, folder: Path, reference: Reference):
        self.file, self.folder, self.reference = file, folder, reference

    def open(self, x: Float32Array, *, without_damaged: bool = False) -> tuple[Session, Acceleration] | None:
        """Session and record; None if there is no record, it does not open, fails, or deviates from eager mode.

        If the choice is not settled, since the machine may have been busy, it is timed on `x` against the next best.

        Args:
            x: Inputs of the calls that are timed.
            without_damaged: Whether to leave out a rival whose files are damaged, which nobody can write again; by
                default the answer is None then, so that a search writes them.
        """
        try:
            record = read_record(self.file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        opened = self._checked(record.options, record)
        if opened is None:
            return None
        session, error = opened
        if record.settled:
            return session, record
        if not (without_damaged or all(self._is_whole(rival) for rival in record.rivals)):
            return None
        return self._contest(session, error, record, x)

    def _is_whole(self, options: Options) -> bool:
        return backends()[options.engine].are_whole(self.folder, options)

    def _checked(self, options: Options, record: Acceleration) -> tuple[Session, float] | None:
        """Session and its deviation from eager mode; None if it does not open or deviates too much."""
        backend = backends()[options.engine]
        try:
            if not self._is_whole(options):
                return None
            session = backend.open(self.folder, options, self.reference.net)
            error = self.reference.distance(session(self.reference.x.numpy()))
        # Engines raise nearly anything for damaged files.
        except Exception:
            return None
        # Reduced precisions have no bound, but must not deviate much more than in the search.
        bound = 1.5 * record.error if record.bound is None else record.bound
        return (session, error) if error <= bound else None

    def _contest(
        self, session: Session, error: float, record: Acceleration, x: Float32Array
    ) -> tuple[Session, Acceleration] | None:
        """Time the chosen options against the next best, and keep the faster one; the record is written again.

        None if the chosen ones fail; a rival that fails is left out.
        """
        sessions, errors = {record.options: session}, {record.options: error}
        for rival in record.rivals:
            if (opened := self._checked(rival, record)) is not None:
                sessions[rival], errors[rival] = opened
        stopwatch = Stopwatch(x, {options: record.milliseconds[str(options)] for options in sessions})
        if len(sessions) > 1:
            stopwatch.run(sessions, FEWEST, MOST, SECONDS)
        if record.options in stopwatch.failures:
            return None
        best, *others = stopwatch.ranked()
        wins = stopwatch.wins(best, others[0]) if others else None
        # It is settled if this start confirms it, or if it makes no difference.
        confirmed = best == record.options and (wins is None or wins >= AGREED)
        same = bool(others) and stopwatch.times[others[0]] < SAME * stopwatch.times[best]
        record = replace(
            record,
            options=best,
            error=errors[best],
            milliseconds={**record.milliseconds, **{str(options): time for options, time in stopwatch.times.items()}},
            rivals=tuple(others),
            wins=wins,
            settled=confirmed or same,
        )
        # In a read-only store, the next start tries again.
        with suppress(OSError):
            write_sealed_json(self.file, record.to_dict())
        return sessions[best], record


def read_record(file: Path) -> Acceleration:
    """Read the record that a search wrote.

    Raises:
        OSError: It cannot be read.
        ValueError, KeyError, TypeError or AttributeError: It is damaged, or of another version.
    """
    values = read_sealed_json(file)
    values.pop("made")
    values["options"] = Options(**values["options"])
    values["rivals"] = tuple(Options(**rival) for rival in values["rivals"])
    values["shape"] = tuple(values["shape"])
    return Acceleration(**values)
