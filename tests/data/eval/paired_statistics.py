#!/usr/bin/env python3
"""Reference values for tests/eval: python3 paired_statistics.py > paired_statistics.json

Everything by another way than include/brink/eval takes: maximum-likelihood estimates as roots of
the likelihood's derivative instead of quadratics in closed form, tests by enumeration in exact
fractions, corrected p values as the smallest level at which the procedure rejects, resamples by a
Mersenne Twister of its own. Needs Python 3.9, nothing else.
"""

import itertools
import json
import math
from fractions import Fraction
from statistics import NormalDist


def bisect(f, low, high):
    """Where f, positive at low, falls below 0."""
    for _ in range(300):
        middle = low + (high - low) / 2
        if middle in (low, high):
            break
        if f(middle) > 0:
            low = middle
        else:
            high = middle
    return low + (high - low) / 2


def z_of(confidence):
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes, trials, confidence):
    """The proportions p with |share - p| = z sqrt(p (1 - p) / n), searched for on either side."""
    z, share = z_of(confidence), successes / trials

    def rejected(p):
        return abs(share - p) > z * math.sqrt(p * (1 - p) / trials)

    low = bisect(lambda p: 1 if rejected(p) else -1, 0.0, share) if successes else 0.0
    high = bisect(lambda p: -1 if rejected(p) else 1, share, 1.0) if successes < trials else 1.0
    return [low, high]


def difference_statistic(both, lost, gained, neither, d):
    """Score statistic of p_gained - p_lost = d, with the estimate that maximises the likelihood."""
    n = both + lost + gained + neither
    same = both + neither
    bottom, top = max(0.0, -d), (1 - d) / 2  # of p_lost

    def slope(q):
        total = 0.0
        if gained:
            total += gained / (q + d) if q + d > 0 else math.inf
        if lost:
            total += lost / q if q > 0 else math.inf
        if same:
            total -= 2 * same / (1 - 2 * q - d) if 1 - 2 * q - d > 0 else math.inf
        return total

    q = bisect(slope, bottom, top)
    if slope(bottom) <= 0:  # never NaN: infinities of both signs do not meet at one end
        q = bottom
    variance = (q + d) + q - d * d
    deviation = (gained - lost) / n - d
    if variance <= 0:
        return math.copysign(math.inf, deviation) if deviation else 0.0
    return deviation / math.sqrt(variance / n)


def tango(both, lost, gained, neither, confidence):
    z = z_of(confidence)
    n = both + lost + gained + neither
    at = (gained - lost) / n

    def statistic(d):
        return difference_statistic(both, lost, gained, neither, d)

    low = bisect(lambda d: statistic(d) - z, -1.0, at) if at > -1 else -1.0
    high = bisect(lambda d: statistic(d) + z, at, 1.0) if at < 1 else 1.0
    return [low, high]


def ratio_statistic(both, lost, gained, neither, r):
    """Score statistic of (p_both + p_gained) = r (p_both + p_lost)."""
    n = both + lost + gained + neither
    share = (both + lost + gained) / n  # of items that either has right: free of r

    def cells(q):  # q is p_lost
        p_both = (share - (1 + r) * q) / r
        return p_both, (r - 1) * p_both + r * q

    # Where p_both and p_gained are not negative.
    bottom = max(0.0, share * (1 - r))
    top = share / (1 + r)

    def slope(q):
        p_both, p_gained = cells(q)
        total = 0.0
        for count, p, change in ((both, p_both, -(1 + r) / r), (lost, q, 1.0),
                                 (gained, p_gained, (1 - r * r) / r + r)):
            if count:
                total += count * change / p if p > 0 else math.copysign(math.inf, change)
        return total

    q = bisect(slope, bottom, top) if slope(bottom) > 0 else bottom
    p_both, p_gained = cells(q)
    variance = p_gained + r * r * q + (1 - r) ** 2 * p_both
    deviation = (both + gained) / n - r * (both + lost) / n
    if variance <= 0:
        return math.copysign(math.inf, deviation) if deviation else 0.0
    return deviation / math.sqrt(variance / n)


def ratio(both, lost, gained, neither, confidence):
    z = z_of(confidence)
    at = (both + gained) / (both + lost)

    def statistic(r):
        return ratio_statistic(both, lost, gained, neither, r)

    low = bisect(lambda r: statistic(r) - z, 1e-9, at) if at > 0 else 0.0
    high = None  # infinite
    if statistic(1e6) + z < 0:
        high = bisect(lambda r: statistic(r) + z, max(at, 1e-9), 1e6)
    return [low, high]


def mcnemar(lost, gained):
    flips = lost + gained
    p = Fraction(0)
    for k in range(flips + 1):
        if abs(2 * k - flips) >= abs(lost - gained):
            p += Fraction(math.comb(flips, k), 2**flips)
    return float(p)


def sign_flip(differences):
    """Over all ways to exchange the models in whole clusters."""
    observed, extreme = abs(sum(differences)), 0
    for signs in itertools.product((1, -1), repeat=len(differences)):
        extreme += abs(sum(s * d for s, d in zip(signs, differences))) >= observed
    return extreme / 2 ** len(differences)


def detectable(items, flips, power, alpha):
    """Power as a sum over all tables (losses, gains), with p values in exact fractions."""
    significant = [(more, less) for more in range(items + 1) for less in range(more)
                   if more + less <= items and mcnemar(more, less) <= alpha]
    share = flips / items if flips else wilson(0, items, 0.95)[1]
    log_factorial = [math.lgamma(k + 1) for k in range(items + 1)]

    def lacking(d):
        flipping = max(share, d)
        p_more, p_less = (flipping + d) / 2, (flipping - d) / 2
        terms = []
        for more, less in significant:
            rest = items - more - less
            if (less and p_less <= 0) or (rest and flipping >= 1):
                continue
            terms.append(math.exp(
                log_factorial[items] - log_factorial[more] - log_factorial[less] -
                log_factorial[rest] + more * math.log(p_more) +
                (less * math.log(p_less) if less else 0.0) +
                (rest * math.log1p(-flipping) if rest else 0.0)))
        return power - math.fsum(terms)

    if lacking(1.0) > 0:
        return None
    return bisect(lacking, 1e-9, 1.0)


def holm(values):
    """The smallest level at which the step-down procedure rejects a hypothesis."""
    def rejected(level):
        out, order = set(), sorted(range(len(values)), key=lambda i: values[i])
        for rank, i in enumerate(order):
            if values[i] > level / (len(values) - rank):
                break
            out.add(i)
        return out

    corrected = []
    for i in range(len(values)):
        corrected.append(1.0 if i not in rejected(1.0) else
                         bisect(lambda level: -1 if i in rejected(level) else 1, 0.0, 1.0))
    return corrected


class MersenneTwister64:
    """Matsumoto and Nishimura's mt19937-64, from its recurrence."""

    def __init__(self, seed):
        self.state = [seed]
        for i in range(1, 312):
            last = self.state[-1]
            self.state.append((6364136223846793005 * (last ^ (last >> 62)) + i) & (2**64 - 1))
        self.place = 312

    def next(self):
        if self.place == 312:
            s = self.state
            for i in range(312):
                x = (s[i] & (2**64 - 2**31)) | (s[(i + 1) % 312] & (2**31 - 1))
                s[i] = s[(i + 156) % 312] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
            self.place = 0
        x = self.state[self.place]
        self.place += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000
        x ^= (x << 37) & 0xFFF7EEE000000000
        return x ^ (x >> 43)


def quantile(ordered, p):
    place = p * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 2)
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def bootstrap(base, other, clusters, resamples=10000, seed=42):
    units = {}
    for b, o, c in zip(base, other, clusters):
        units.setdefault(c, []).append((b, o))
    units = list(units.values())  # in the order of their first items
    twister = MersenneTwister64(seed)
    differences, ratios = [], []
    for _ in range(resamples):
        items = [item for _ in units
                 for item in units[(twister.next() >> 32) * len(units) >> 32]]
        base_sum = math.fsum(b for b, _ in items)
        other_sum = math.fsum(o for _, o in items)
        differences.append((other_sum - base_sum) / len(items))
        ratios.append(other_sum / base_sum if base_sum else math.inf)
    at = (math.fsum(other) - math.fsum(base)) / len(base)
    beyond = sum(abs(d - at) >= abs(at) - 1e-9 for d in differences)
    differences.sort()
    ratios.sort()
    return {
        "difference": at,
        "ci": [quantile(differences, 0.025), quantile(differences, 0.975)],
        "ci90": [quantile(differences, 0.05), quantile(differences, 0.95)],
        "retained": math.fsum(other) / math.fsum(base),
        "retained_ci": [quantile(ratios, 0.025), quantile(ratios, 0.975)],
        "p": (beyond + 1) / (resamples + 1),
    }


def design(base, other, clusters, telling=None):
    """Effective items in clusters, from sums over pairs of items of one cluster instead of squares
    of sums; `telling` has those clusters that say how changes cluster."""
    n = len(base)
    if telling is None:
        telling = {c for b, o, c in zip(base, other, clusters) if b != o}
    change = [o - b for b, o in zip(base, other)]
    mean = math.fsum(change) / n
    count = len(set(clusters))
    between = math.fsum((change[i] - mean) * (change[j] - mean)
                        for i in range(n) for j in range(n) if clusters[i] == clusters[j])
    within = math.fsum((x - mean) ** 2 for x in change)
    worst = sum(clusters.count(c) for c in clusters) / n
    effects = [max(1.0, count / (count - 1) * between / within)] * len(telling) + [worst]
    return n * len(effects) / math.fsum(effects)


def table(base, other):
    """Right by both, lost, gained, wrong by both; of grades the parts of each item."""
    return [math.fsum(min(b, o) for b, o in zip(base, other)),
            math.fsum(b - min(b, o) for b, o in zip(base, other)),
            math.fsum(o - min(b, o) for b, o in zip(base, other)),
            math.fsum(1 - max(b, o) for b, o in zip(base, other))]


def scores(count, seed, levels, cluster_size, few=False):
    """Fixed data: scores of an other model that changes some, more often down than up."""
    twister = MersenneTwister64(seed)
    base, other, clusters = [], [], []
    for i in range(count):
        at = twister.next() % (levels + 1)
        step = twister.next() % 10
        if few and i % 13 != 4:
            step = 0
        to = at if step < 6 else max(0, at - 1) if step < 9 else min(levels, at + 1)
        base.append(at / levels)
        other.append(to / levels)
        clusters.append(i // cluster_size if cluster_size > 1 else i)
    return base, other, clusters


def main():
    out = {"normal_quantile": [], "wilson": [], "tango": [], "ratio": [], "mcnemar": [],
           "sign_flip": [], "detectable": [], "holm": [], "paired": []}
    for p in (1e-12, 1e-5, 0.001, 0.025, 0.1, 0.3, 0.5, 0.8, 0.95, 0.975, 0.9999):
        out["normal_quantile"].append({"p": p, "z": NormalDist().inv_cdf(p)})
    for successes, trials in ((0, 1), (1, 1), (0, 20), (1, 29), (15, 148), (81, 263), (1319, 1319),
                              (700, 1319), (3, 7)):
        for confidence in (0.9, 0.95, 0.99):
            out["wilson"].append({"successes": successes, "trials": trials,
                                  "confidence": confidence,
                                  "ci": wilson(successes, trials, confidence)})
    tables = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (10, 0, 0, 5), (0, 0, 0, 30),
              (43, 0, 1, 0), (0, 12, 0, 0), (0, 0, 9, 0), (0, 6, 6, 0), (20, 5, 1, 10),
              (20, 1, 5, 10), (794, 150, 86, 570), (600, 40, 0, 679), (600, 0, 2, 717),
              (2, 1, 1, 1), (30, 1, 0, 0), (0, 3, 2, 95), (5, 90, 5, 0), (5000, 301, 299, 4400),
              (12.5, 2.25, 0.5, 7.75)]
    for cells in tables:
        for confidence in (0.9, 0.95, 0.99):
            out["tango"].append({"cells": cells, "confidence": confidence,
                                 "ci": tango(*cells, confidence)})
            if cells[0] + cells[1] > 0:
                out["ratio"].append({"cells": cells, "confidence": confidence,
                                     "ci": ratio(*cells, confidence)})
    for lost, gained in ((0, 0), (1, 0), (0, 5), (6, 0), (5, 1), (4, 4), (10, 3), (3, 10),
                         (86, 150), (500, 620), (0, 1319), (1200, 1100)):
        out["mcnemar"].append({"lost": lost, "gained": gained, "p": mcnemar(lost, gained)})
    for differences in ((), (0, 0), (1,), (-3, 2), (1, 1, 1, 1, 1, 1), (-2, -3, 1, 0, -1, 4, -2),
                        (5, -1, -1, -1, -1, -1), (-1, -2, -3, -4, -1, -2, 1, 0, -2, -1, -5, 1)):
        out["sign_flip"].append({"differences": differences, "p": sign_flip(differences)})
    for items, flips in ((5, 5), (6, 0), (6, 6), (20, 0), (20, 3), (20, 20), (60, 6), (120, 0),
                         (120, 12), (120, 60)):
        for power, alpha in ((0.8, 0.05), (0.9, 0.01)):
            out["detectable"].append({"items": items, "flips": flips, "power": power,
                                      "alpha": alpha,
                                      "difference": detectable(items, flips, power, alpha)})
    for values in ((), (0.03,), (0.01, 0.04, 0.03, 0.005), (0.5, 0.5, 0.9), (0.02, 0.02, 0.02),
                   (1e-9, 0.9, 0.011, 0.012, 0.2, 0.0004)):
        out["holm"].append({"p": values, "corrected": holm(values)})
    for name, count, seed, levels, size in (("graded", 40, 1, 8, 1),
                                            ("graded_clusters", 60, 2, 8, 4),
                                            ("right_wrong_clusters", 90, 3, 1, 3),
                                            ("uneven_clusters", 83, 4, 1, 7),
                                            ("graded_few", 80, 5, 8, 1),
                                            ("graded_few_clusters", 84, 5, 8, 4)):
        few = "few" in name
        base, other, clusters = scores(count, seed, levels, size, few)
        case = {"name": name, "base": base, "other": other, "clusters": clusters,
                "bootstrap": bootstrap(base, other, clusters)}
        if levels == 1 or few:
            cells, effective = table(base, other), design(base, other, clusters)
            scaled = [cell * effective / count for cell in cells]
            case["effective"] = effective
            case["tango"] = tango(*scaled, 0.95)
            case["tango90"] = tango(*scaled, 0.90)
            case["ratio"] = ratio(*scaled, 0.95)
            sums = {}
            for b, o, c in zip(base, other, clusters):
                sums[c] = sums.get(c, 0) + round((o - b) * levels)
            case["p"] = sign_flip([d for d in sums.values() if d])
        if levels == 1:
            common = 1 if sum(other) > count / 2 else 0
            telling = {c for o, c in zip(other, clusters) if o != common}
            effective = design([0.0] * count, other, clusters, telling)
            case["mean"] = {
                "wilson": wilson(math.fsum(other) / count * effective, effective, 0.95),
                "bootstrap": bootstrap([1.0] * count, other, clusters)["retained_ci"]}
        out["paired"].append(case)
    print("{")
    print(",\n".join(json.dumps(key) + ": [\n" +
                     ",\n".join("  " + json.dumps(row) for row in rows) + "\n]"
                     for key, rows in out.items()))
    print("}")


if __name__ == "__main__":
    main()
