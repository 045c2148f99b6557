"""What a question shows of what is held out, read from its text alone.

The generators say which keys an item has; a leak test that believed them would prove little. These
functions find operands, phrases and phrasings in the text itself.
"""

from __future__ import annotations

import re

from skills import extraction
from skills.facts_data import COUNTRIES, COUNTRY_RELATIONS, ELEMENT_RELATIONS, ELEMENTS, rows

_ENTITIES = sorted((row[0] for table in (COUNTRIES, ELEMENTS) for row in rows(table)),
                   key=len, reverse=True)
_ENTITY = re.compile(r"\b(" + "|".join(map(re.escape, _ENTITIES)) + r")\b", re.IGNORECASE)
_RELATION = re.compile(r"\b(" + "|".join(COUNTRY_RELATIONS + ELEMENT_RELATIONS) + r")\b",
                       re.IGNORECASE)


def facts(question: str) -> list[str]:
    """The phrasing: the question without what it asks about."""
    return [_RELATION.sub("R", _ENTITY.sub("E", question, count=1)).lower()]


def arithmetic(question: str) -> list[str]:
    """All operands in order."""
    return [" ".join(re.findall(r"\d+", question))]


def extraction_(question: str) -> list[str]:
    """The pair of phrases, and the name."""
    text = question.lower()
    issue = [p for group in extraction.ISSUES.values() for p in group if p.lower() in text]
    hurry = [p for group in extraction.URGENCIES.values() for p in group if p.lower() in text]
    names = re.findall(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b", question.removeprefix(extraction.PROMPT))
    known = [n for n in names if n.split()[0] in extraction.FIRST_NAMES
             and n.split()[1] in extraction.LAST_NAMES]
    return [" / ".join(issue + hurry), " ".join(known)]


def code(question: str) -> list[str]:
    """The numbers: the constant used, the other one, the argument, the number of the last file."""
    constants = dict(re.findall(r"^([A-Z]+) = (\d+)$", question, re.MULTILINE))
    called, argument = re.findall(r"^print\((\w+)\((\d+)\)\)$", question, re.MULTILINE)[0]
    body = dict(re.findall(r"^def (\w+)\(\w\):\n    return (.*)$", question, re.MULTILINE))
    added = re.findall(r"^(\w+)\(\w\) [-+*] (\d+)$", body[called])
    used = body[added[0][0] if added else called].split()[-1]
    other = next(value for name, value in constants.items() if name != used)
    return [" ".join([constants[used], other, argument, *(n for _, n in added)])]


def debugging(question: str) -> list[str]:
    """The program without its operators: names defined and numbers, as far as they are legible."""
    defined = re.findall(r"^\d ([a-z]) = (?:.* )?(\w+)$", question, re.MULTILINE)
    return [" ".join(name for name, _ in defined) + " " + " ".join(n for _, n in defined)]


OBSERVED = {"facts": facts, "arithmetic": arithmetic, "extraction": extraction_, "code": code,
            "debugging": debugging}


def leaks(skill: str, training: list[str], held_out: list[str]) -> list[str]:
    """The held-out questions that share a key with a training question."""
    seen = {key for question in training for key in OBSERVED[skill](question)}
    return [q for q in held_out if seen.intersection(OBSERVED[skill](q))]
