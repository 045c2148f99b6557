#!/usr/bin/env python3
"""Gives a few channels of a model large activations without changing what it computes.

    outliers.py IN.gguf OUT.gguf --factor 64 --channels 4

In every layer the weights of both norms are multiplied by the factor in some channels, and the
columns of the matrices that read them are divided by it: the residual stream and all results stay
as they are, but what enters q, k, v, gate and up has outliers, as large models have by themselves
(Dettmers et al. 2022, arXiv:2208.07339). With a power of two nothing is rounded, but for F16 weights
that become subnormal; how many is printed. Of llama and qwen files with F16 or F32 matrices. Needs
NumPy (Debian: python3-numpy).
"""

from __future__ import annotations

import argparse
import pathlib
import struct
import sys

import numpy as np

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by type
STRING, ARRAY = 8, 9
TYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
READERS = {"attn_norm": ("attn_q", "attn_k", "attn_v"), "ffn_norm": ("ffn_gate", "ffn_up")}


class File:
    """Where the tensors of a GGUF file lie in its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = bytearray(data), 0
        if data[:4] != b"GGUF":
            raise ValueError("is no GGUF file")
        self.at = 4
        _, tensors, entries = self._take("<IQQ")
        alignment = 32
        for _ in range(entries):
            key = self._string()
            (kind,) = self._take("<I")
            value = self._value(kind)
            if key == b"general.alignment":
                alignment = value
        table = []
        for _ in range(tensors):
            name = self._string().decode()
            (dimensions,) = self._take("<I")
            shape = self._take(f"<{dimensions}Q")
            kind, offset = self._take("<IQ")
            table.append((name, shape[::-1], kind, offset))
        start = -(-self.at // alignment) * alignment
        self.tensors = {name: (shape, kind, start + offset) for name, shape, kind, offset in table}

    def _take(self, form: str) -> tuple:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def _string(self) -> bytes:
        (size,) = self._take("<Q")
        self.at += size
        return bytes(self.data[self.at - size:self.at])

    def _value(self, kind: int) -> int | None:
        if kind == STRING:
            self._string()
        elif kind == ARRAY:
            item, count = self._take("<IQ")
            for _ in range(count):
                self._value(item)
        else:
            self.at += SCALARS[kind]
            if kind == 4:
                return struct.unpack_from("<I", self.data, self.at - 4)[0]
        return None

    def values(self, name: str) -> np.ndarray:
        """A view: what is written to it is written to `data`."""
        shape, kind, offset = self.tensors[name]
        if kind not in TYPES:
            raise ValueError(f"'{name}' is quantized: give a file of F16 or F32 matrices")
        count = int(np.prod(shape))
        return np.frombuffer(self.data, TYPES[kind], count, offset).reshape(shape)


def add_outliers(file: File, factor: float, channels: int, seed: int) -> int:
    """Returns the number of weights that could not be divided exactly."""
    random, inexact, layer = np.random.default_rng(seed), 0, 0
    while f"blk.{layer}.attn_norm.weight" in file.tensors:
        for norm, readers in READERS.items():
            weights = file.values(f"blk.{layer}.{norm}.weight")
            chosen = random.choice(weights.size, channels, replace=False)
            weights[chosen] *= factor
            for reader in readers:
                matrix = file.values(f"blk.{layer}.{reader}.weight")
                divided = matrix[:, chosen].astype(np.float64) / factor
                matrix[:, chosen] = divided
                inexact += int(np.count_nonzero(matrix[:, chosen] != divided))
        layer += 1
    if layer == 0:
        raise ValueError("has no 'blk.0.attn_norm.weight'")
    return inexact


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--factor", type=float, required=True)
    parser.add_argument("--channels", type=int, default=4, help="per norm (default: 4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        file = File(options.input.read_bytes())
        inexact = add_outliers(file, options.factor, options.channels, options.seed)
        options.output.write_bytes(file.data)
    except (OSError, ValueError, KeyError, struct.error) as error:
        print(f"outliers.py: {options.input}: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {options.channels} channels of every norm times {options.factor:g}, "
          f"{inexact} weights rounded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
