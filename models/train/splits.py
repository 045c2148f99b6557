"""Which split an item belongs to.

Items are not drawn and then divided: what is to be held out (an operand tuple, a pair of phrases, a
phrasing of a question) is hashed, and the hash alone decides the split. So no generator, whatever
its seed and however often it is asked, can put a held-out key into the training text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random

SPLITS = ("train", "dev", "test")


def split_of(kind: str, *key: object, dev: int = 10, test: int = 10) -> str:
    """The split of a key: `dev` and `test` percent are held out, the rest is for training."""
    text = "\x1f".join([kind, *map(str, key)])
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
    return "dev" if bucket < dev else "test" if bucket < dev + test else "train"


def stable_random(*key: object) -> random.Random:
    """A generator seeded by the key; the same on every machine and Python version."""
    text = "\x1f".join(map(str, key))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


@dataclasses.dataclass(frozen=True)
class Item:
    """A question with its answer.

    `held_out` are the keys that decide the split (the leak test compares them); `cluster` names
    what related items share, for statistics that must not count them as independent.
    """

    skill: str
    question: str
    answer: str
    cluster: str
    held_out: tuple[str, ...]
