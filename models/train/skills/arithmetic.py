"""Word problems of two to four steps with a worked answer that ends in `#### N` (GSM8K's form).

Held out is the tuple of operands: no two problems of different splits use the same numbers in the
same order, whatever their story.
"""

from __future__ import annotations

import random

from splits import Item, split_of
from skills.words import FIRST_NAMES

THINGS = ("apples", "books", "cards", "coins", "eggs", "nuts", "pens", "rings", "shells", "stamps")
MORE = ("buys {} more", "finds {} more", "gets {} more", "picks up {} more")
LESS = ("gives away {}", "loses {}", "sells {}", "uses {}")
LIMIT = 99  # of every intermediate result: two digits


def worked(value: int, sign: str, n: int) -> tuple[str, str, int]:
    """A sum as (`54+38=`, `84+8=92`, 92): tens first, then units.

    A sum of two-digit numbers at once would take so small a model many times the training: its first
    digit depends on a carry that is not written yet.
    """
    result = value + n if sign == "+" else value - n
    tens, units = n - n % 10, n % 10
    between = value + tens if sign == "+" else value - tens
    middle = f"{between}{sign}{units}=" if tens and units else ""
    return f"{value}{sign}{n}=", f"{middle}{result}", result


def make(rng: random.Random, split: str, steps: int = 4) -> Item:
    """A problem of 2 to `steps` steps whose operands belong to the split."""
    while True:
        problem = _draw(rng, rng.randint(2, steps))
        if problem is None:
            continue
        question, operands, lines, result = problem
        key = "operands " + " ".join(map(str, operands))
        if split_of("arithmetic", key) == split:
            answer = "\n".join(lines) + f"\n#### {result}"
            return Item("arithmetic", question, answer, " ".join(map(str, sorted(operands))), (key,))


def drill(rng: random.Random, steps: int) -> list[tuple[str, str]]:
    """Steps without a story, (`54+38=`, `84+8=92`), each from the result of the one before.

    They hold many more results a token than problems do, so that the model spends its training on
    sums, not on stories.
    """
    lines: list[tuple[str, str]] = []
    value = rng.randint(2, 80)
    while len(lines) < steps:
        if rng.random() < 0.2:
            a, b = rng.randint(2, 9), rng.randint(2, 9)
            value = a * b
            lines.append((f"{a}*{b}=", str(value)))
            continue
        left, right, result = worked(value, rng.choice("+-"), rng.randint(2, 60))
        if 0 < result <= LIMIT:
            lines.append((left, right))
            value = result
    return lines


def _draw(rng: random.Random, steps: int) -> tuple[str, list[int], list[str], int] | None:
    name, thing = rng.choice(FIRST_NAMES), rng.choice(THINGS)
    operands: list[int] = []
    lines: list[str] = []
    if rng.random() < 0.5:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        text = f"{name} has {a} boxes with {b} {thing} each."
        operands += [a, b]
        value = a * b
        lines.append(f"{a}*{b}={value}")
    else:
        value = rng.randint(3, 80)
        text = f"{name} has {value} {thing}."
        operands.append(value)
    while len(lines) < steps:
        sign, phrases = ("+", MORE) if rng.random() < 0.5 else ("-", LESS)
        n = rng.randint(2, 60)
        phrase = rng.choice(phrases)
        left, right, result = worked(value, sign, n)
        if not 0 < result <= LIMIT:
            return None
        lines.append(left + right)
        operands.append(n)
        text += f" {name} {phrase.format(n)}."
        value = result
    return f"{text} How many {thing} does {name} have?", operands, lines, value
