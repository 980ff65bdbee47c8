"""Zip data sets of metatrain, with an index of a few bytes for each structure.

metatrain's own reader holds an object for each member while it opens a file: 1.7 kB for
each structure with one target. Ours goes through the directory of the zip file once, and
leaves whatever is unusual to metatrain's.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from metatensor.learn.data._namedtuple import namedtuple
from metatrain.utils.data.dataset import (
    ATOM_COUNTS_MEMBER,
    DiskDataset,
    _parse_disk_dataset_member_name,
)


_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ROW = np.dtype([("offset", "u8"), ("size", "u8"), ("crc", "u4"), ("there", "?")])


class Archive(DiskDataset):
    """A zip data set of metatrain.

    :param path: of the file
    :param fields: of the options file: targets and extra data, with their ``key``
    :raises LookupError: if it is anything but what metatrain writes; its own
        ``DiskDataset`` knows more, and says what is wrong
    """

    def __init__(self, path: str | Path, fields: Mapping[str, Any]) -> None:
        # not that of DiskDataset, which has a large index
        self.zip_file_path = path
        self._table: dict[str, np.ndarray] = {}
        self._counts: tuple[int, int, int] | None = None
        with Path(path).open("rb") as file:
            self._index(file)
        self._check()
        self._len = len(self._table["system"])
        self._field_names = ["system", *(n for n in self._table if n != "system")]
        names = {options.get("key", key): key for key, options in fields.items()}
        if not set(names) <= set(self._table):
            raise LookupError("a field is missing")
        self._fields_to_read = ["system", *names, "mtt::aux::system_index"]
        self._sample_class = namedtuple(
            "Sample", [names.get(field, field) for field in self._fields_to_read]
        )
        self._atom_counts = self._read_counts()

    def _index(self, file: IO[bytes]) -> None:
        """Note where members are."""
        for name, row in _members(file):
            if name == ATOM_COUNTS_MEMBER:
                self._counts = row
                continue
            parsed = _parse_disk_dataset_member_name(name)
            if parsed is None:
                raise LookupError(f"'{name}' is no member of a data set")
            number, field = parsed
            table = self._table.get(field)
            if table is None:
                table = self._table[field] = np.zeros(1024, _ROW)
            while number >= len(table):
                if number > 2**40:
                    raise LookupError("structures are not numbered from 0")
                table = np.concatenate([table, np.zeros(len(table), _ROW)])
                self._table[field] = table
            if table[number]["there"]:
                raise LookupError(f"'{name}' is there twice")
            table[number] = (*row, True)

    def _check(self) -> None:
        """Every structure has every field, from 0 without a gap."""
        counts = {int(table["there"].sum()) for table in self._table.values()}
        if len(counts) != 1 or "system" not in self._table or 0 in counts:
            raise LookupError("structures have different fields, or there are none")
        (count,) = counts
        for field, table in self._table.items():
            self._table[field] = table[:count].copy()
            if not self._table[field]["there"].all():
                raise LookupError("structures are not numbered from 0 without a gap")

    def _read_counts(self) -> np.ndarray | None:
        if self._counts is None:
            return None
        counts = np.load(io.BytesIO(self._bytes(*self._counts)))
        return None if len(counts) < self._len else counts[: self._len].astype(np.int64)

    def _read_member(self, index: int, field_name: str) -> io.BytesIO:
        if not 0 <= index < self._len:
            raise IndexError(f"there is no structure {index} among {self._len}")
        row = self._table[field_name][index]
        return io.BytesIO(self._bytes(*(int(row[c]) for c in ("offset", "size", "crc"))))

    def _bytes(self, offset: int, size: int, crc: int) -> bytes:
        """What a member holds."""
        # opened each time: a handle kept would be shared by forked processes
        with Path(self.zip_file_path).open("rb") as file:
            file.seek(offset)
            head = file.read(_LOCAL.size)
            header = _LOCAL.unpack(head.ljust(_LOCAL.size, b"\0"))
            file.seek(offset + _LOCAL.size + header[-2] + header[-1])
            content = file.read(size)
        if zlib.crc32(content) != crc:
            raise ValueError(f"'{self.zip_file_path}' is damaged: copy or write it anew")
        return content


def _members(file: IO[bytes]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Name of each member, with its offset, size and checksum."""
    count, place = _directory(file)
    file.seek(place)
    for _ in range(count):
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or head[:4] != b"PK\x01\x02":
            raise LookupError("the directory is not where it should be")
        entry = _ENTRY.unpack(head)
        flags, method, crc, packed, size = entry[3], entry[4], *entry[7:10]
        name_size, extra_size, comment_size, offset = *entry[10:13], entry[16]
        name = file.read(name_size).decode("utf-8" if flags & 0x800 else "cp437")
        extra = file.read(extra_size)
        file.seek(comment_size, 1) if comment_size else None
        size, packed, offset = _large(extra, size, packed, offset)
        if method or flags & 1 or size != packed:
            raise LookupError(f"'{name}' is compressed or encrypted")
        if not name.endswith("/"):
            yield name, (offset, size, crc)


def _large(extra: bytes, *values: int) -> list[int]:
    """Values that do not fit into 32 bits stand in an extra field."""
    found, place = list(values), 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            wanted = [i for i, value in enumerate(values) if value == 0xFFFFFFFF]
            longs = struct.unpack_from(f"<{len(wanted)}Q", extra, place + 4)
            for i, value in zip(wanted, longs, strict=True):
                found[i] = value
        place += 4 + size
    return found


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Number of members, and where the directory begins."""
    size = file.seek(0, 2)
    start = max(size - _END.size - 2**16, 0)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + _END.size:
        raise LookupError("this is no zip file")
    end = _END.unpack_from(tail, place)
    count, first = end[4], end[6]
    if count != 0xFFFF and first != 0xFFFFFFFF:
        return count, first
    if place < _LOCATOR_64.size:
        raise LookupError("the directory is not where it should be")
    locator = _LOCATOR_64.unpack_from(tail, place - _LOCATOR_64.size)
    if locator[0] != b"PK\x06\x07":
        return count, first
    file.seek(locator[2])
    head = file.read(_END_64.size)
    if len(head) < _END_64.size or head[:4] != b"PK\x06\x06":
        raise LookupError("the directory is not where it should be")
    large = _END_64.unpack(head)
    return large[7], large[9]
