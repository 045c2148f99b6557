"""Byte-level BPE, fitted to the corpus: GPT-2's byte alphabet and the `qwen2` way to cut words.

Digits are single tokens (that is `qwen2`'s rule, and what makes arithmetic learnable). The corpus is
ASCII, so that Python's `re` classes equal the Unicode classes of the published expression.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
from typing import Iterable

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


class Tokenizer:
    """Text to ids and back. The last ids are the special tokens."""

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        self.merges = merges
        self.alphabet = byte_alphabet()
        self.tokens = [*self.alphabet, *(a + b for a, b in merges), *SPECIALS]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.start, self.end = self.ids["<|im_start|>"], self.ids["<|im_end|>"]
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._cache: dict[str, list[int]] = {}
        self._bytes = {c: b for b, c in enumerate(self.alphabet)}

    def encode(self, text: str) -> list[int]:
        """The ids of plain text; special tokens in it are text."""
        ids: list[int] = []
        for word in WORDS.findall(text):
            known = self._cache.get(word)
            if known is None:
                known = self._cache[word] = self._encode_word(word)
            ids += known
        return ids

    def _encode_word(self, word: str) -> list[int]:
        parts = [self.alphabet[b] for b in word.encode()]
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, 1 << 30) for pair in zip(parts, parts[1:])]
            best = min(ranks)
            if best == 1 << 30:
                break
            at = ranks.index(best)
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self.ids[part] for part in parts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""
        text = "".join(self.tokens[i] for i in ids if self.tokens[i] not in SPECIALS)
        return bytes(self._bytes[c] for c in text).decode("utf-8", "replace")

    def save(self, path: pathlib.Path) -> None:
        path.write_text(json.dumps([f"{a} {b}" for a, b in self.merges]))

    @classmethod
    def load(cls, path: pathlib.Path) -> Tokenizer:
        return cls([tuple(m.split(" ")) for m in json.loads(path.read_text())])  # type: ignore[misc]


def fit(texts: Iterable[str], size: int) -> Tokenizer:
    """A vocabulary of `size` tokens: merge the most frequent pair until it is full."""
    alphabet = byte_alphabet()
    counts = collections.Counter(word for text in texts for word in WORDS.findall(text))
    words = [[alphabet[b] for b in word.encode()] for word in counts]
    numbers = list(counts.values())
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    where: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for i, parts in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += numbers[i]
            where[pair].add(i)
    merges: list[tuple[str, str]] = []
    while len(merges) < size - 256 - len(SPECIALS) and pairs:
        # The pair itself breaks ties, so that the result does not depend on the order of a set.
        best = max(pairs, key=lambda p: (pairs[p], p))
        if pairs[best] <= 0:
            break
        merges.append(best)
        for i in where.pop(best):
            old = words[i]
            for pair in zip(old, old[1:]):
                pairs[pair] -= numbers[i]
            new: list[str] = []
            at = 0
            while at < len(old):
                joined = at + 1 < len(old) and (old[at], old[at + 1]) == best
                new.append(old[at] + old[at + 1] if joined else old[at])
                at += 2 if joined else 1
            words[i] = new
            for pair in zip(new, new[1:]):
                pairs[pair] += numbers[i]
                where[pair].add(i)
        pairs.pop(best, None)
    return Tokenizer(merges)
