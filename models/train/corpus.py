"""The training text: conversations about the skills and plain prose, as packed rows of tokens.

A row holds several documents; `document` numbers them, so that attention stays inside each one, as
it does when the model is used. `kind` says what each token is, so that training can weigh answers
higher than questions, which nobody asks the model to write.
"""

from __future__ import annotations

import dataclasses
import pathlib
import random

import numpy as np

import prose
from drills import ANSWER, DRILLS, PAD, PROMPT, PROSE
from skills.registry import SKILLS
from splits import Item, stable_random
from tokenizer import Tokenizer, fit

# Shares of documents. Prose and facts are short of neither text nor repetition; what is computed or
# looked up needs many fresh examples.
MIXTURE = {"facts": 16, "arithmetic": 24, "extraction": 14, "code": 26, "debugging": 24,
           "plays": 4, "paragraph": 4, "sums": 8, "names": 6, "lookups": 5, "repetition": 1}
# The first steps: names have one token inside a sentence and another after a quotation mark, and
# which belongs to which has to be known before extraction is more than guessing.
EARLY_MIXTURE = {**MIXTURE, "names": 60, "sums": 16}


@dataclasses.dataclass
class Rows:
    """Packed rows, each array of shape [rows, length]."""

    tokens: np.ndarray  # uint16
    kind: np.ndarray  # uint8
    document: np.ndarray  # uint8

    def save(self, path: pathlib.Path) -> None:
        np.savez(path, tokens=self.tokens, kind=self.kind, document=self.document)

    @classmethod
    def load(cls, path: pathlib.Path) -> Rows:
        with np.load(path) as data:
            return cls(data["tokens"], data["kind"], data["document"])


def prompt_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    """A user's turn and the head of the answer (ChatML)."""
    return [tokenizer.start, *tokenizer.encode(f"user\n{question}"), tokenizer.end,
            *tokenizer.encode("\n"), tokenizer.start, *tokenizer.encode("assistant\n")]


def turn(tokenizer: Tokenizer, item: Item) -> tuple[list[int], list[int]]:
    """Ids and kinds of a question and its answer."""
    asked = prompt_ids(tokenizer, item.question)
    answered = [*tokenizer.encode(item.answer), tokenizer.end]
    after = tokenizer.encode("\n")
    return (asked + answered + after,
            [PROMPT] * len(asked) + [ANSWER] * len(answered) + [PROMPT] * len(after))


def document(rng: random.Random, tokenizer: Tokenizer, mixture: dict[str, int], plays: str,
             length: int) -> tuple[list[int], list[int]]:
    """One document of the mixture; one conversation in five goes on to a second question."""
    name = rng.choices(list(mixture), list(mixture.values()))[0]
    if name in DRILLS:
        return DRILLS[name](rng, tokenizer)
    if name not in SKILLS:
        text = prose.passage(rng, plays, 5 * length) if name == "plays" else prose.paragraph(rng)
        ids = tokenizer.encode(text)[:length]
        return ids, [PROSE] * len(ids)
    ids, kinds = turn(tokenizer, SKILLS[name](rng, "train"))
    while rng.random() < 0.2:
        more, more_kinds = turn(tokenizer, SKILLS[rng.choice(list(SKILLS))](rng, "train"))
        if len(ids) + len(more) > length:
            break
        ids, kinds = ids + more, kinds + more_kinds
    return ids[:length], kinds[:length]


def pack(tokenizer: Tokenizer, seed: str, rows: int, length: int, early: bool = False) -> Rows:
    """`rows` rows of fresh documents (of EARLY_MIXTURE, if so).

    Several rows are open at a time, so that few gaps remain.
    """
    rng = stable_random("corpus", seed)
    plays = prose.plays("train")
    mixture = EARLY_MIXTURE if early else MIXTURE
    out = Rows(np.zeros((rows, length), np.uint16), np.zeros((rows, length), np.uint8),
               np.zeros((rows, length), np.uint8))
    open_rows = list(range(min(8, rows)))
    used, count, following = [0] * rows, [0] * rows, len(open_rows)
    while open_rows:
        ids, kinds = document(rng, tokenizer, mixture, plays, length)
        fits = [r for r in open_rows if used[r] + len(ids) <= length]
        if not fits:
            full = max(open_rows, key=lambda r: used[r])
            open_rows.remove(full)
            if following < rows:
                open_rows.append(following)
                following += 1
            continue
        row = max(fits, key=lambda r: used[r])
        at = slice(used[row], used[row] + len(ids))
        count[row] += 1
        out.tokens[row, at], out.kind[row, at], out.document[row, at] = ids, kinds, count[row]
        used[row] += len(ids)
    return out


def fit_tokenizer(seed: int, size: int, documents: int = 8000) -> Tokenizer:
    """A tokenizer for the mixture above."""
    rng = stable_random("tokenizer", seed)
    texts = [prose.plays("train")[:150_000], "user\nassistant\n" * documents]
    for name, share in MIXTURE.items():
        for _ in range(documents * share // 100):
            if name in SKILLS:
                item = SKILLS[name](rng, "train")
                texts += [item.question, item.answer]
            elif name == "paragraph":
                texts.append(prose.paragraph(rng))
    return fit(texts, size)
