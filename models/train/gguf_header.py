"""Where the parts of a GGUF file lie: its metadata and its tensors, whose bytes are not read."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple

STRING, ARRAY = 8, 9
LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}  # of struct, by type of value


class Tensor(NamedTuple):
    shape: tuple[int, ...]  # rows first
    kind: int
    offset: int  # in the file


def take(f: BinaryIO, form: str) -> tuple[Any, ...]:
    form = "<" + form
    return struct.unpack(form, f.read(struct.calcsize(form)))


def _value(f: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return f.read(take(f, "Q")[0]).decode()
    if kind == ARRAY:
        item, count = take(f, "IQ")
        return [_value(f, item) for _ in range(count)]
    return take(f, LETTERS[kind])[0]


def read_header(f: BinaryIO) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata, and tensors by name."""
    if f.read(4) != b"GGUF":
        raise ValueError("is no GGUF file")
    _, tensors, entries = take(f, "IQQ")
    metadata = {}
    for _ in range(entries):
        key = _value(f, STRING)
        metadata[key] = _value(f, take(f, "I")[0])
    table = []
    for _ in range(tensors):
        name = _value(f, STRING)
        shape = take(f, f"{take(f, 'I')[0]}Q")
        table.append((name, shape[::-1], *take(f, "IQ")))
    start = f.tell() + -f.tell() % metadata.get("general.alignment", 32)
    return metadata, {name: Tensor(shape, kind, start + at) for name, shape, kind, at in table}
