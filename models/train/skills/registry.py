"""The skills by name, and how an answer to each is graded."""

from __future__ import annotations

import json
import random
from typing import Callable

from splits import Item
from skills import arithmetic, code, debugging, extraction, facts

SKILLS: dict[str, Callable[[random.Random, str], Item]] = {
    "facts": facts.make,
    "arithmetic": arithmetic.make,
    "extraction": extraction.make,
    "code": code.make,
    "debugging": debugging.make,
}


def final(answer: str) -> str:
    """What follows the last `####`: all that counts of a worked answer."""
    return answer.rsplit("####", 1)[-1].strip() if "####" in answer else ""


def correct(skill: str, expected: str, given: str) -> bool:
    """Whether the answer is right: equal numbers after `####`, equal JSON objects, equal text."""
    if skill in ("arithmetic", "code"):
        return final(given) == final(expected)
    if skill == "extraction":
        try:
            return json.loads(given) == json.loads(expected)
        except ValueError:
            return False
    return given.strip() == expected.strip()
