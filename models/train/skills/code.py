"""Code whose symbols must be resolved across files: what does main.py print?

A constant lives in one file, a function that uses it in another, a function that calls that one in
a third; other constants and functions are there to be confused with. The answer quotes what it needs
before it computes. Held out is the tuple of all numbers in the program.
"""

from __future__ import annotations

import random

from splits import Item, split_of

MODULES = ("tax", "shop", "game", "math", "util", "core", "data", "map", "tool", "base")
CONSTANTS = ("RATE", "SIZE", "COST", "STEP", "BASE", "GAIN", "UNIT", "PLUS")
FUNCTIONS = ("scale", "shift", "total", "score", "grow", "count", "price", "level", "pack", "move")
PARAMETERS = ("a", "b", "k", "m", "n", "t", "v", "x")
OPERATIONS = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}


def make(rng: random.Random, split: str, hops: int = 2) -> Item:
    """A program with one or two calls to follow, its numbers from the split."""
    while True:
        question, numbers, answer = _draw(rng, rng.randint(1, hops))
        key = "numbers " + " ".join(map(str, numbers))
        if split_of("code", key) == split:
            return Item("code", question, answer, " ".join(map(str, sorted(numbers))), (key,))


def _draw(rng: random.Random, hops: int) -> tuple[str, list[int], str]:
    m1, m2, m3 = rng.sample(MODULES, 3)
    k1, k2 = rng.sample(CONSTANTS, 2)
    f, g, other = rng.sample(FUNCTIONS, 3)
    p1, p2, p3 = rng.sample(PARAMETERS, 3)
    n1, n2, x = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 9)
    op1 = rng.choice("+-*")
    if op1 == "-" and x < n1:
        x, n1 = n1, x
    first = OPERATIONS[op1](x, n1)
    constants = [f"{k1} = {n1}", f"{k2} = {n2}"]
    rng.shuffle(constants)
    files = ["# {}.py\n{}".format(m1, "\n".join(constants))]
    inner = f"def {f}({p1}):\n    return {p1} {op1} {k1}"
    functions = [inner]
    numbers = [n1, n2, x]
    if hops == 1:
        op3 = rng.choice([op for op in "+-*" if op != op1])
        functions.append(f"def {other}({p3}):\n    return {p3} {op3} {k2}")
        rng.shuffle(functions)
    files.append(f"# {m2}.py\nfrom {m1} import {k1}, {k2}\n" + "\n".join(functions)
                 if hops == 1 else f"# {m2}.py\nfrom {m1} import {k1}\n" + functions[0])
    quoted = [inner, f"{k1} = {n1}"]
    lines = [f"{f}({x})={x}{op1}{n1}={first}"]
    called, result = f, first
    if hops == 2:
        n3 = rng.randint(2, 9)
        op2 = rng.choice("+-") if first >= n3 else "+"
        result = OPERATIONS[op2](first, n3)
        outer = f"def {g}({p2}):\n    return {f}({p2}) {op2} {n3}"
        files.append(f"# {m3}.py\nfrom {m2} import {f}\n{outer}")
        quoted.insert(0, outer)
        lines.append(f"{g}({x})={first}{op2}{n3}={result}")
        numbers.append(n3)
        called = g
    rng.shuffle(files)
    files.append(f"# main.py\nprint({called}({x}))")
    return "\n".join(files), numbers, "\n".join(quoted + lines) + f"\n#### {result}"
