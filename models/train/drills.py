"""Drills: short documents that teach the parts of the skills more densely than the skills do.

Looking something up in the context and copying it is a step that a small model takes suddenly and
late; sums take many examples. Most tokens of a skill are story, most tokens of a drill are practice.
"""

from __future__ import annotations

import json
import random

from skills import arithmetic, code, extraction
from tokenizer import SPECIALS, Tokenizer

# What a token is, so that training can weigh answers higher than questions.
PAD, PROMPT, ANSWER, PROSE = range(4)
Document = tuple[list[int], list[int]]  # ids and kinds


def joined(tokenizer: Tokenizer, parts: list[tuple[str, int]]) -> Document:
    """Texts with their kinds as one document."""
    ids: list[int] = []
    kinds: list[int] = []
    for text, kind in parts:
        more = tokenizer.encode(text)
        ids, kinds = ids + more, kinds + [kind] * len(more)
    return ids, kinds


def sums(rng: random.Random, tokenizer: Tokenizer) -> Document:
    """Steps of arithmetic without a story; their operands are chance, only results are learned."""
    parts: list[tuple[str, int]] = []
    for left, right in arithmetic.drill(rng, 12):
        parts += [(left, PAD), (right, ANSWER), ("\n", PAD)]
    return joined(tokenizer, parts)


def names(rng: random.Random, tokenizer: Tokenizer) -> Document:
    """Names in a row, then the same as JSON: the form of a name changes when it is quoted."""
    some = [extraction.name_of(rng, "train") for _ in range(rng.randint(2, 6))]
    return joined(tokenizer, [("Names: " + ", ".join(some) + "\n", PROMPT),
                              (json.dumps(some) + "\n", ANSWER)])


def lookups(rng: random.Random, tokenizer: Tokenizer) -> Document:
    """Constants of a file, then the value of each in another order, as programs look them up."""
    some = rng.sample(code.CONSTANTS, rng.randint(2, 6))
    values = {name: rng.randint(2, 9) for name in some}
    parts = [(f"# {rng.choice(code.MODULES)}.py\n" +
              "".join(f"{name} = {value}\n" for name, value in values.items()), PROMPT)]
    rng.shuffle(some)
    for name in some:
        parts += [(f"{name} = ", PAD), (f"{values[name]}\n", ANSWER)]
    return joined(tokenizer, parts)


def repetition(rng: random.Random, tokenizer: Tokenizer) -> Document:
    """Random tokens, and the same again: nothing helps but to copy."""
    some = [rng.randrange(len(tokenizer.tokens) - len(SPECIALS)) for _ in range(rng.randint(8, 30))]
    return some * 2, [PAD] * len(some) + [PAD] + [ANSWER] * (len(some) - 1)


DRILLS = {"sums": sums, "names": names, "lookups": lookups, "repetition": repetition}
