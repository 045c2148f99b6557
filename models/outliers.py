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
import io
import pathlib
import struct
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "train"))

from gguf_header import read_header  # noqa: E402

TYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
READERS = {"attn_norm": ("attn_q", "attn_k", "attn_v"), "ffn_norm": ("ffn_gate", "ffn_up")}


class File:
    """A GGUF file whose tensors can be changed."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        _, self.tensors = read_header(io.BytesIO(data))

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
