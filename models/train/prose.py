"""Plain prose: plays of Shakespeare (public domain) and paragraphs about the facts.

`plays.txt` are the first 400 kB of the collection of plays known as "tiny Shakespeare", which is
public-domain text. Its last part is held out.
"""

from __future__ import annotations

import pathlib
import random

from skills import facts

PLAYS = pathlib.Path(__file__).with_name("plays.txt")
HELD_OUT_CHARACTERS = 24_000


def plays(split: str) -> str:
    """The plays to train on, or the held-out end (`test`) and what lies before it (`dev`)."""
    text = PLAYS.read_text()
    cut = [text.index("\n\n", len(text) - n * HELD_OUT_CHARACTERS) + 2 for n in (2, 1)]
    return {"train": text[:cut[0]], "dev": text[cut[0]:cut[1]], "test": text[cut[1]:]}[split]


def passage(rng: random.Random, text: str, characters: int) -> str:
    """A passage that begins at a speech."""
    starts = rng.randrange(max(1, len(text) - characters))
    start = text.find("\n\n", starts)
    start = start + 2 if 0 <= start < len(text) - characters else 0
    return text[start:start + characters]


def paragraph(rng: random.Random) -> str:
    """Two to four statements about countries and elements."""
    return "\n".join(facts.statement(rng) for _ in range(rng.randint(2, 4)))
