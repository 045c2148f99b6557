"""JSON extraction: a message of a customer in, an object with three keys out.

Held out are pairs: (issue phrase, urgency phrase) and (first name, last name). A held-out message
has both pairs from its split.
"""

from __future__ import annotations

import json
import random

from splits import Item, split_of
from skills.words import FIRST_NAMES, LAST_NAMES

ISSUES = {
    "shipping": ("the box never came", "the courier lost my order", "my parcel is late",
                 "the package went to the wrong street", "the tracking page shows no movement",
                 "my order has not been sent", "the delivery came without the lamp",
                 "the parcel arrived crushed"),
    "billing": ("I was charged twice", "my invoice is wrong", "the refund has not arrived",
                "my card was declined", "the price on my bill is too high",
                "you took money after I cancelled", "I need a receipt for last month",
                "the discount was not applied"),
    "technical": ("the app crashes when I open it", "I see an error page", "the screen stays black",
                  "the update does not install", "the program is very slow",
                  "the button does nothing", "my files do not load", "the sound is gone"),
    "account": ("I cannot log in", "my password does not work", "please change my email",
                "my profile shows the wrong name", "I want to close my account",
                "somebody else uses my login", "I never got the code to sign in",
                "my account is locked"),
}
URGENCIES = {
    "high": ("I need this fixed today", "this cannot wait", "please hurry", "act at once",
             "my work has stopped because of it", "I need an answer within the hour"),
    "medium": ("please look at it this week", "it would help to hear back soon",
               "I hope for an answer in a few days", "tomorrow would be fine",
               "I would like it solved before Friday", "please do not forget me"),
    "low": ("there is no hurry", "whenever you have time", "it is not important",
            "I can wait a month", "take your time", "just so that you know"),
}
FORMS = (
    "Hello, this is {n}. {I}. {U}.", "{I}. {U}. Regards, {n}", "Hi, {i}, {u}. Thanks, {n}",
    "{n} here: {i}. {U}.", "{U}: {i}. Yours, {n}", "My name is {n} and {i}. {U}.",
)
PROMPT = "Extract JSON: "


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def name_of(rng: random.Random, split: str) -> str:
    """A first and a last name whose pair belongs to the split."""
    while True:
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        if split_of("extraction", f"name {name}") == split:
            return name


def make(rng: random.Random, split: str) -> Item:
    """A message whose phrase pair and name both belong to the split."""
    while True:
        category, urgency = rng.choice(list(ISSUES)), rng.choice(list(URGENCIES))
        issue, hurry = rng.choice(ISSUES[category]), rng.choice(URGENCIES[urgency])
        pair = f"phrases {issue} / {hurry}"
        if split_of("extraction", pair) == split:
            break
    name = name_of(rng, split)
    text = rng.choice(FORMS).format(n=name, i=issue, u=hurry, I=_capital(issue), U=_capital(hurry))
    answer = json.dumps({"customer_name": name, "issue_category": category, "urgency": urgency})
    return Item("extraction", PROMPT + text, answer, pair, (pair, f"name {name}"))
