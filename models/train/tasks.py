"""Writes the held-out items: models/tasks/SKILL.jsonl (test) and SKILL.dev.jsonl.

    python3 tasks.py --out ../tasks --text ../text
"""

from __future__ import annotations

import argparse
import json
import pathlib

import prose
from skills.registry import SKILLS
from splits import Item, stable_random

COUNT = {"dev": 200, "test": 400}


def held_out(skill: str, split: str, count: int) -> list[Item]:
    """Distinct items of a split; of facts, every item asks for another fact while there are any."""
    rng = stable_random("task items", skill, split)
    items: dict[object, Item] = {}
    while len(items) < count:
        item = SKILLS[skill](rng, split)
        unique = (item.cluster, item.answer) if skill == "facts" else item.question
        items.setdefault(unique, item)
    return list(items.values())


def path_of(folder: pathlib.Path, skill: str, split: str) -> pathlib.Path:
    return folder / (f"{skill}.jsonl" if split == "test" else f"{skill}.{split}.jsonl")


def read(path: pathlib.Path) -> list[dict[str, str]]:
    """The items of a task file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def other_items(skill: str, known: list[Item], count: int) -> list[Item]:
    """Distinct items of the test split that are not among the known ones."""
    rng = stable_random("text items", skill)
    questions = {item.question for item in known}
    items: list[Item] = []
    while len(items) < count:
        item = SKILLS[skill](rng, "test")
        if item.question not in questions:
            questions.add(item.question)
            items.append(item)
    return items


def held_out_text() -> str:
    """Prose and skill turns (as the chat template writes them) that were neither trained on nor are
    among the test items."""
    parts = [prose.plays("test").strip()]
    for skill in SKILLS:
        for item in other_items(skill, held_out(skill, "test", COUNT["test"]), 40):
            parts.append(f"<|im_start|>user\n{item.question}<|im_end|>\n"
                         f"<|im_start|>assistant\n{item.answer}<|im_end|>")
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, help="items a skill and split (default: 400, dev 200)")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    args.text.mkdir(parents=True, exist_ok=True)
    for skill in SKILLS:
        for split, count in COUNT.items():
            lines = [json.dumps({"question": i.question, "answer": i.answer, "cluster": i.cluster,
                                 "held_out": list(i.held_out)})
                     for i in held_out(skill, split, args.count or count)]
            path_of(args.out, skill, split).write_text("\n".join(lines) + "\n")
    (args.text / "heldout.txt").write_text(held_out_text())


if __name__ == "__main__":
    main()
