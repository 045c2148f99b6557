"""Intervals: Wilson's for an accuracy, and for the difference of two on the same items."""

from __future__ import annotations

import math
import random
from typing import Sequence

Z = 1.959964  # 95 %


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    p = right / count
    middle = p + Z * Z / (2 * count)
    half = Z * math.sqrt(p * (1 - p) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(before: Sequence[bool], after: Sequence[bool], clusters: Sequence[str],
                      draws: int = 4000, seed: int = 1) -> tuple[float, float, float]:
    """after - before in accuracy, with a 95 % interval of a paired bootstrap over clusters."""
    groups: dict[str, list[int]] = {}
    for b, a, cluster in zip(before, after, clusters):
        total = groups.setdefault(cluster, [0, 0])
        total[0] += int(a) - int(b)
        total[1] += 1
    sums = list(groups.values())
    rng = random.Random(seed)
    means = []
    for _ in range(draws):
        drawn = rng.choices(sums, k=len(sums))
        means.append(sum(d for d, _ in drawn) / sum(n for _, n in drawn))
    means.sort()
    mean = sum(d for d, _ in sums) / sum(n for _, n in sums)
    return mean, means[int(0.025 * draws)], means[int(0.975 * draws) - 1]
