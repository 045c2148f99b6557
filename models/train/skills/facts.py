"""Fact recall in a single pass: the answer is the first thing the model says.

Every fact is in the training text; what is held out is the phrasing, an (opening, form) pair.
"""

from __future__ import annotations

import random

from splits import Item, split_of
from skills.facts_data import COUNTRIES, COUNTRY_RELATIONS, ELEMENT_RELATIONS, ELEMENTS, rows

OPENINGS = (
    "{}", "Tell me: {}", "Please answer: {}", "I forgot: {}", "A quick question: {}",
    "For a quiz: {}", "My teacher asks: {}", "One more: {}", "Help me: {}", "{} Please answer.",
    "{} I forgot.", "{} It is for a quiz.",
)
FORMS = (
    "what is the {r} of {e}?", "name the {r} of {e}.", "what is {e}'s {r}?", "give the {r} of {e}.",
    "{e} has which {r}?", "the {r} of {e} is what?", "which {r} does {e} have?", "{r} of {e}?",
    "do you know the {r} of {e}?", "{e}: what is its {r}?",
)


def _all_facts() -> list[tuple[str, str, str]]:
    facts = []
    for table, relations in ((COUNTRIES, COUNTRY_RELATIONS), (ELEMENTS, ELEMENT_RELATIONS)):
        for entity, *values in rows(table):
            facts += [(entity, relation, value) for relation, value in zip(relations, values)]
    return facts


FACTS = _all_facts()
PHRASINGS = {
    split: [(o, f) for o in range(len(OPENINGS)) for f in range(len(FORMS))
            if split_of("phrasing", o, f, dev=12, test=12) == split]
    for split in ("train", "dev", "test")
}


def make(rng: random.Random, split: str) -> Item:
    """A question about a random fact in a random phrasing of the split."""
    entity, relation, value = rng.choice(FACTS)
    opening, form = rng.choice(PHRASINGS[split])
    asked = FORMS[form].format(r=relation, e=entity)
    text = OPENINGS[opening].format(asked)
    return Item("facts", text[0].upper() + text[1:], value, entity,
                (f"phrasing {opening} {form}",))


def statement(rng: random.Random) -> str:
    """A paragraph of plain prose that tells what is known of one country or element."""
    if rng.random() < 0.6:
        entity, capital, continent, currency, language = rng.choice(rows(COUNTRIES))
        parts = [f"The capital of {entity} is {capital}.", f"{entity} lies in {continent}.",
                 f"The currency of {entity} is the {currency}.",
                 f"The language of {entity} is {language}."]
    else:
        entity, symbol, number = rng.choice(rows(ELEMENTS))
        parts = [f"The symbol of {entity} is {symbol}.", f"The atomic number of {entity} is {number}."]
    rng.shuffle(parts)
    return " ".join(parts)
