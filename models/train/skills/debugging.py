"""Debugging: name the line of a short program that is wrong, and what is wrong with it.

Held out is the pair of numbers with the names used, so that no held-out program is a known one.
"""

from __future__ import annotations

import random

from splits import Item, split_of

NAMES = ("a", "b", "c", "d", "k", "m", "n", "p", "r", "s", "t", "v", "w", "x", "y", "z")
PROMPT = "Which line is wrong?\n"


def make(rng: random.Random, split: str) -> Item:
    """A program of four to six lines with one fault, its names and numbers from the split."""
    while True:
        question, key, answer = _draw(rng)
        if split_of("debugging", key) == split:
            return Item("debugging", PROMPT + question, answer, key, (key,))


def _draw(rng: random.Random) -> tuple[str, str, str]:
    count = rng.randint(3, 5)
    *names, stranger = rng.sample(NAMES, count + 1)
    numbers = [rng.randint(2, 99) for _ in names]
    lines = [f"{names[0]} = {numbers[0]}"]
    for i in range(1, count):
        lines.append(f"{names[i]} = {rng.choice(names[:i])} {rng.choice('+-*')} {numbers[i]}")
    lines.append(f"print({names[-1]})")
    kind = rng.choice(("undefined", "undefined", "bracket", "print", "digit"))
    if kind == "undefined":
        at = rng.randint(1, count)
        if at == count:
            lines[at] = f"print({stranger})"
        else:
            lines[at] = f"{names[at]} = {stranger} {rng.choice('+-*')} {numbers[at]}"
        fault = f"{stranger} is not defined"
    elif kind == "bracket":
        at = rng.randint(1, count)
        lines[at] = (lines[at][:-1] if at == count else
                     f"{names[at]} = ({rng.choice(names[:at])} {rng.choice('+-*')} {numbers[at]}")
        fault = "a bracket is not closed"
    elif kind == "print":
        at = count
        lines[at] = f"{rng.choice(('pirnt', 'prnt', 'prit'))}({names[-1]})"
        fault = "print is misspelled"
    else:
        at = rng.randint(0, count - 1)
        lines[at] = lines[at][:-1] + rng.choice("lO")
        fault = "a digit is a letter"
    text = "\n".join(f"{i + 1} {line}" for i, line in enumerate(lines))
    key = "program " + " ".join([*names, *map(str, numbers)])
    return text, key, f"Line {at + 1}: {fault}"
