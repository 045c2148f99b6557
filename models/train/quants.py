"""Decoders of the block formats that are compared: raw blocks [count, bytes] to f32 weights.

Block layouts: docs/formats.md. The engine has decoders of its own; these are for the recipe, which
must be able to judge a file without it.
"""

from __future__ import annotations

from typing import Callable

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.uint8]
Weights = NDArray[np.float32]


def _f16(raw: Raw) -> Weights:
    """[count, 1]: the f16 in two bytes."""
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def _f32s(raw: Raw) -> Weights:
    return np.ascontiguousarray(raw).view("<f4").astype(np.float32)


def _q8_0(raw: Raw) -> Weights:
    return _f16(raw[:, :2]) * np.ascontiguousarray(raw[:, 2:]).view(np.int8)


def _q4_0(raw: Raw) -> Weights:
    return _f16(raw[:, :2]) * (np.hstack([raw[:, 2:] & 15, raw[:, 2:] >> 4]).astype(np.float32) - 8)


def _q5_0(raw: Raw) -> Weights:
    high = np.unpackbits(raw[:, 2:6], axis=1, bitorder="little") << 4
    low = np.hstack([raw[:, 6:] & 15, raw[:, 6:] >> 4])
    return _f16(raw[:, :2]) * ((low | high).astype(np.float32) - 16)


def _two_bits(qs: Raw) -> Raw:
    """64 bytes to 256 numbers: bits 2j, 2j+1 of byte 32h + l are number 128h + 32j + l."""
    parts = [qs[:, 32 * h:32 * h + 32] >> (2 * j) & 3 for h in range(2) for j in range(4)]
    return np.hstack(parts)


def _q2_k(raw: Raw) -> Weights:
    scales, d, dmin = raw[:, :16], _f16(raw[:, 80:82]), _f16(raw[:, 82:84])
    q = _two_bits(raw[:, 16:80]).reshape(-1, 16, 16).astype(np.float32)
    scale, low = d * (scales & 15), dmin * (scales >> 4)
    return (scale[:, :, None] * q - low[:, :, None]).reshape(len(raw), 256)


def _q3_k(raw: Raw) -> Weights:
    packed, d = raw[:, 96:108], _f16(raw[:, 108:110])
    low = np.hstack([packed[:, :8] & 15, packed[:, :8] >> 4])
    high = np.hstack([packed[:, 8:] >> (2 * i) & 3 for i in range(4)])
    scale = d * ((low | high << 4).astype(np.float32) - 32)
    third = np.hstack([raw[:, :32] >> g & 1 for g in range(8)])
    q = (_two_bits(raw[:, 32:96]) | third << 2).astype(np.float32) - 4
    return (scale[:, :, None] * q.reshape(-1, 16, 16)).reshape(len(raw), 256)


def _six_bit_scales(packed: Raw) -> tuple[Raw, Raw]:
    """The eight scales and minima of Q4_K and Q5_K."""
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    return (np.hstack([a & 63, c & 15 | a >> 6 << 4]), np.hstack([b & 63, c >> 4 | b >> 6 << 4]))


def _nibbles(qs: Raw) -> Raw:
    return np.hstack([qs[:, 32 * h:32 * h + 32] >> s & 15 for h in range(4) for s in (0, 4)])


def _q45_k(raw: Raw, q: Raw) -> Weights:
    scales, lows = _six_bit_scales(raw[:, 4:16])
    scale, low = _f16(raw[:, :2]) * scales, _f16(raw[:, 2:4]) * lows
    blocks = q.reshape(-1, 8, 32).astype(np.float32)
    return (scale[:, :, None] * blocks - low[:, :, None]).reshape(len(raw), 256)


def _q4_k(raw: Raw) -> Weights:
    return _q45_k(raw, _nibbles(raw[:, 16:]))


def _q5_k(raw: Raw) -> Weights:
    fifth = np.hstack([raw[:, 16:48] >> g & 1 for g in range(8)])
    return _q45_k(raw, _nibbles(raw[:, 48:]) | fifth << 4)


def _q6_k(raw: Raw) -> Weights:
    parts = []
    for h in range(2):
        for j in range(4):
            low = raw[:, 64 * h + 32 * (j % 2):][:, :32] >> (j // 2 * 4) & 15
            high = raw[:, 128 + 32 * h:][:, :32] >> (2 * j) & 3
            parts.append(low | high << 4)
    q = np.hstack(parts).astype(np.float32) - 32
    scale = _f16(raw[:, 208:210]) * np.ascontiguousarray(raw[:, 192:208]).view(np.int8)
    return (scale[:, :, None] * q.reshape(-1, 16, 16)).reshape(len(raw), 256)


# GGUF's number of a type: name, decoder, weights a block, bytes a block.
TYPES: dict[int, tuple[str, Callable[[Raw], Weights], int, int]] = {
    0: ("F32", _f32s, 1, 4),
    1: ("F16", _f16, 1, 2),
    2: ("Q4_0", _q4_0, 32, 18),
    6: ("Q5_0", _q5_0, 32, 22),
    8: ("Q8_0", _q8_0, 32, 34),
    10: ("Q2_K", _q2_k, 256, 84),
    11: ("Q3_K", _q3_k, 256, 110),
    12: ("Q4_K", _q4_k, 256, 144),
    13: ("Q5_K", _q5_k, 256, 176),
    14: ("Q6_K", _q6_k, 256, 210),
}
