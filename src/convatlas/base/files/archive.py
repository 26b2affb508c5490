"""Read zip archives as Keras and PyTorch write them; refuse what is compressed, or can be read in two ways."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import pairwise
from pathlib import Path

from convatlas.base.files.reading import MAX_WEIGHTS, opened

MAX_MEMBERS = 100_000
"""Most members of an archive; the largest net has a few thousand tensors."""

MAX_DIRECTORY = 64 << 20
"""Largest directory of an archive in bytes."""

STORED = 0
CHUNK = 1 << 20

END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
"""Records of the format (PKWARE's APPNOTE 4.3.7, 4.3.12 to 4.3.16): a signature, then little-endian numbers."""

WIDE = 0xFFFFFFFF
"""In a field of 32 bits: the number is in the extra field, with 64 bits."""

DESCRIPTOR, UTF_8 = 1 << 3, 1 << 11
"""Flags: sizes follow the data; the name is UTF-8. Members with other flags (encrypted, patched, ...) are refused."""


class ArchiveError(ValueError):
    """An archive that is damaged, or can be read in two ways; the text follows the file's name: "is no archive"."""


@dataclass(frozen=True)
class Member:
    """Place of a member's bytes in the file, and their checksum."""

    start: int
    size: int
    crc: int


class Archive(Mapping[str, Member]):
    """Members of an open archive by name.

    All readers of the file find the same members: the directory ends at the last record of the file, which says where
    it begins; the members lie before it, none overlaps another, and their own headers agree with the directory.

    Raises:
        ArchiveError: It is not such an archive.
    """

    def __init__(self, file: BufferedIOBase, size: int):
        self.file = file
        self.members = _members(file, size)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def read(self, name: str) -> bytes:
        """Return the bytes of a member.

        Raises:
            ArchiveError: There is none of this name, or its checksum is wrong.
        """
        if name not in self.members:
            raise ArchiveError(f"lacks {name}")
        data = bytearray(self.members[name].size)
        self.read_into(name, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Read a member into a buffer of bytes of its size; raise an ArchiveError if its checksum is wrong."""
        member = self.members[name]
        self.file.seek(member.start)
        crc = done = 0
        while done < member.size:
            part = buffer[done : done + CHUNK]
            count = self.file.readinto(part)
            if not count:
                raise ArchiveError("ends too early")
            crc, done = zlib.crc32(part[:count], crc), done + count
        if crc != member.crc:
            raise ArchiveError(f"is damaged: the checksum of {name} is wrong")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the archive at a path, an ordinary file of up to `MAX_WEIGHTS` bytes.

    Raises:
        OSError: The file cannot be read.
        ArchiveError: It is damaged, compressed, or can be read in two ways.
    """
    with opened(path, MAX_WEIGHTS) as (file, size):
        yield Archive(file, size)


def _members(file: BufferedIOBase, size: int) -> dict[str, Member]:
    start, count, end = _directory(file, size)
    file.seek(start)
    directory, at = file.read(end - start), 0
    members: dict[str, Member] = {}
    places: list[tuple[int, int]] = []
    folded: set[str] = set()
    for _ in range(count):
        name, offset, member, at = _entry(directory, at)
        # PyTorch's own reader finds names in either case.
        if name.casefold() in folded:
            raise ArchiveError(f"holds {name} twice")
        folded.add(name.casefold())
        members[name], stop = _located(file, name, offset, member, start)
        places.append((offset, stop))
    if at != len(directory):
        raise ArchiveError("has a directory with more in it than its members")
    places.sort()
    if any(stop > following for (_, stop), (following, _) in pairwise(places)):
        raise ArchiveError("has members that overlap")
    return members


def _directory(file: BufferedIOBase, size: int) -> tuple[int, int, int]:
    """Return where the directory starts, its number of members, and where it ends."""
    if size < END.size:
        raise ArchiveError("is no archive")
    tail = _read_at(file, max(0, size - END.size - LOCATOR.size - END_64.size), END.size + LOCATOR.size + END_64.size)
    signature, disk, first_disk, here, count, length, start, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\5\6" or comment:
        raise ArchiveError("is no archive, or has something behind its end")
    if disk or first_disk or here != count:
        raise ArchiveError("is a part of an archive")
    end = size - END.size
    locator = tail[-END.size - LOCATOR.size : -END.size]
    if locator[:4] == b"PK\6\7" and len(locator) == LOCATOR.size:
        end -= LOCATOR.size + END_64.size
        if len(tail) < END.size + LOCATOR.size + END_64.size or LOCATOR.unpack(locator)[1:] != (0, end, 1):
            raise ArchiveError("has an end that is not where it says")
        count, length, start = _end_64(tail[: END_64.size], count, length, start)
    if start + length != end:
        raise ArchiveError("has a directory that does not lie where it says")
    if count > MAX_MEMBERS or not count * ENTRY.size <= length <= MAX_DIRECTORY:
        raise ArchiveError(f"says that it has {count:,} members; {MAX_MEMBERS:,} are allowed")
    return start, count, end


def _end_64(record: bytes, *narrow: int) -> tuple[int, int, int]:
    """Return number of members, length and start of the directory; `narrow` are the same in 16 or 32 bits."""
    signature, remaining, _, _, disk, first_disk, here, count, length, start = END_64.unpack(record)
    if signature != b"PK\6\6" or remaining != END_64.size - 12 or disk or first_disk or here != count:
        raise ArchiveError("has a damaged end")
    for short, full, wide in zip(narrow, (0xFFFF, WIDE, WIDE), (count, length, start), strict=True):
        if short not in (full, wide):
            raise ArchiveError("has two ends that differ")
    return count, length, start


def _entry(directory: bytes, at: int) -> tuple[str, int, Member, int]:
    """Read an entry of the directory: name, place of the member's header, size and checksum, end of the entry."""
    if at + ENTRY.size > len(directory):
        raise ArchiveError("has a damaged directory")
    fields = ENTRY.unpack_from(directory, at)
    signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment, disk, _, _, offset = (
        fields
    )
    if signature != b"PK\1\2" or disk or comment:
        raise ArchiveError("has a damaged directory")
    start = at + ENTRY.size
    stop = start + name_length + extra_length
    if stop > len(directory):
        raise ArchiveError("has a damaged directory")
    name = _name(directory[start : start + name_length])
    if flags & ~(DESCRIPTOR | UTF_8):
        raise ArchiveError(f"has {name} encrypted or patched")
    if method != STORED:
        raise ArchiveError("is compressed, as such files are not")
    extra = directory[start + name_length : stop]
    size, packed, offset = _widened(extra, size, packed, offset)
    if size != packed:
        raise ArchiveError(f"has two sizes for {name}")
    return name, offset, Member(0, size, crc), stop


def _widened(extra: bytes, *narrow: int) -> list[int]:
    """Return numbers of which those that do not fit 32 bits are replaced by the next one in the extra field."""
    wide, at = b"", 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            if wide:
                raise ArchiveError("has a damaged directory")
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    numbers = list(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    result = []
    for value in narrow:
        if value == WIDE:
            if not numbers:
                raise ArchiveError("has a damaged directory")
            value = numbers.pop(0)
        result.append(value)
    return result


def _located(file: BufferedIOBase, name: str, offset: int, member: Member, end: int) -> tuple[Member, int]:
    """Return the member with the place of its bytes, and their end; refuse one whose own header disagrees."""
    if offset + LOCAL.size > end:
        raise ArchiveError(f"has {name} outside of itself")
    header = _read_at(file, offset, LOCAL.size)
    signature, _, flags, method, _, _, _, packed, size, name_length, extra_length = LOCAL.unpack(header)
    own = file.read(name_length)
    extra = file.read(extra_length)
    if signature != b"PK\3\4" or method != STORED or _name(own) != name or flags & ~(DESCRIPTOR | UTF_8):
        raise ArchiveError(f"has a header for {name} that its directory contradicts")
    if WIDE in (size, packed):
        size, packed = _widened(extra, size, packed)
    if (size, packed) != (member.size, member.size) and not (flags & DESCRIPTOR and not size and not packed):
        raise ArchiveError(f"has two sizes for {name}")
    start = offset + LOCAL.size + name_length + extra_length
    if start + member.size > end:
        raise ArchiveError(f"has {name} outside of itself")
    return Member(start, member.size, member.crc), start + member.size


def _name(raw: bytes) -> str:
    """Decode a member's name; refuse one that is no path inside the archive."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise ArchiveError("has a member without a readable name") from None
    parts = re.split(r"[/\\]", name)
    if not name.isprintable() or parts[0] == "" or ".." in parts or ":" in name:
        raise ArchiveError(f"has a member outside of the archive, {name!r:.100}")
    return name


def _read_at(file: BufferedIOBase, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
