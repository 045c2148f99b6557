"""Tests of the recipe: nothing leaks, answers are right, files are what they say.

    python3 -m unittest test_recipe        (in this folder)
"""

from __future__ import annotations

import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import hashes  # noqa: E402
import intervals  # noqa: E402
import prose  # noqa: E402
import tasks  # noqa: E402
import tokenizer  # noqa: E402
from observed import OBSERVED, leaks  # noqa: E402
from skills import facts  # noqa: E402
from skills.registry import SKILLS, correct  # noqa: E402
from splits import stable_random  # noqa: E402

TASKS = HERE.parent / "tasks"
TRAINING_ITEMS = 20_000


def training(skill: str) -> list[str]:
    rng = stable_random("leak test", skill)
    return [SKILLS[skill](rng, "train").question for _ in range(TRAINING_ITEMS)]


class Leaks(unittest.TestCase):
    """What is held out stays out of the training text: the text is examined, not the generators."""

    def test_task_files(self) -> None:
        for skill in SKILLS:
            shown = training(skill)
            for split in ("dev", "test"):
                items = tasks.read(tasks.path_of(TASKS, skill, split))
                self.assertEqual(leaks(skill, shown, [i["question"] for i in items]), [],
                                 f"{skill}, {split}")

    def test_dev_and_test_are_apart(self) -> None:
        for skill in SKILLS:
            dev, test = (
                [i["question"] for i in tasks.read(tasks.path_of(TASKS, skill, s))]
                for s in ("dev", "test"))
            self.assertEqual(leaks(skill, dev, test), [], skill)

    def test_a_leak_is_found(self) -> None:
        # The same story with other names, the same phrasing of another fact, ...: each held-out item
        # put among the training questions must be reported, and so must a variant of it.
        for skill in SKILLS:
            items = [i["question"] for i in tasks.read(tasks.path_of(TASKS, skill, "test"))]
            self.assertEqual(leaks(skill, items[:1], items[:1]), items[:1], skill)
        question = "Ada has 17 pens. Ada finds 4 more. Ada sells 2. How many pens does Ada have?"
        variant = question.replace("Ada", "Ben").replace("pens", "nuts").replace("finds", "gets")
        self.assertEqual(leaks("arithmetic", [variant], [question]), [question])
        self.assertEqual(leaks("facts", ["Name the symbol of iron."],
                               ["Name the capital of France."]), ["Name the capital of France."])

    def test_keys_are_found(self) -> None:
        # A reader that found nothing would find no leaks either.
        for skill in SKILLS:
            keys = {k for i in tasks.read(tasks.path_of(TASKS, skill, "test"))
                    for k in OBSERVED[skill](i["question"])}
            self.assertGreater(len(keys), 10, skill)
            self.assertNotIn("", keys, skill)
        for question in (i["question"] for i in tasks.read(tasks.path_of(TASKS, "facts", "test"))):
            self.assertIn("e", re.findall(r"\w+", OBSERVED["facts"](question)[0]), question)

    def test_prose(self) -> None:
        text = prose.plays("train")
        for split in ("dev", "test"):
            for passage in re.findall(r".{60,}", prose.plays(split)):
                self.assertNotIn(passage, text)


class Items(unittest.TestCase):
    def test_files(self) -> None:
        for skill in SKILLS:
            for split, count in tasks.COUNT.items():
                items = tasks.read(tasks.path_of(TASKS, skill, split))
                self.assertEqual(len(items), count)
                self.assertEqual(len({i["question"] for i in items}), count, skill)
                made = tasks.held_out(skill, split, count)
                self.assertEqual([i["question"] for i in items], [i.question for i in made])
                for item in items:
                    self.assertTrue(correct(skill, item["answer"], item["answer"]))

    def test_arithmetic(self) -> None:
        for item in tasks.read(TASKS / "arithmetic.jsonl"):
            *steps, last = item["answer"].split("\n")
            for step in steps:
                parts = step.split("=")
                self.assertEqual({eval(part) for part in parts}, {int(parts[-1])})
            self.assertEqual(last, "#### " + steps[-1].split("=")[-1])

    def test_code_prints_the_answer(self) -> None:
        for item in tasks.read(TASKS / "code.jsonl"):
            printed: list[int] = []
            # main.py comes last; the other files may need each other: those that fail wait.
            files = [re.sub(r"^from .*\n", "", f, flags=re.MULTILINE)
                     for f in re.split(r"^# \w+\.py\n", item["question"], flags=re.MULTILINE)[1:]]
            names: dict[str, object] = {"print": printed.append}
            for text in files:
                exec(text, names)
            self.assertEqual(item["answer"].rsplit(" ", 1)[1], str(printed[0]))

    def test_debugging_fails_where_the_answer_says(self) -> None:
        for item in tasks.read(TASKS / "debugging.jsonl"):
            lines = [re.sub(r"^\d ", "", x) for x in item["question"].split("\n")[1:]]
            line = int(re.findall(r"Line (\d)", item["answer"])[0])
            names: dict[str, object] = {"print": lambda x: None}
            for number, text in enumerate(lines, 1):
                try:
                    exec(text, names)
                    failed = False
                except (NameError, SyntaxError):
                    failed = True
                if failed or number == line:
                    self.assertEqual((failed, number), (True, line), item["question"])
                    break

    def test_facts_have_one_answer(self) -> None:
        asked = [(e, r) for e, r, _ in facts.FACTS]
        self.assertEqual(len(asked), len(set(asked)))

    def test_grading(self) -> None:
        self.assertTrue(correct("arithmetic", "1+1=2\n#### 2", "#### 2"))
        self.assertFalse(correct("arithmetic", "1+1=2\n#### 2", "1+1=2"))
        self.assertFalse(correct("code", "#### 2", "#### 12"))
        self.assertTrue(correct("extraction", '{"a": "b", "c": "d"}', '{"c": "d", "a": "b"}'))
        self.assertFalse(correct("extraction", '{"a": "b"}', '{"a": "b"'))
        self.assertFalse(correct("facts", "Paris", "Paris is"))


class Parts(unittest.TestCase):
    def test_xxh64(self) -> None:
        self.assertEqual(hashes.xxh64(b""), "ef46db3751d8e999")
        self.assertEqual(hashes.xxh64(b"abc"), "44bc2cf5ad770999")
        self.assertEqual(hashes.xxh64(bytes(range(101))), "e99038495f85381e")

    def test_tokenizer_round_trip(self) -> None:
        fitted = tokenizer.fit(["the cat and the hat, 12 of them", "the end"] * 3, 280)
        for text in ("the cat\n\n  12 hats", "caf\u00e9 {\"a\": 1}", ""):
            self.assertEqual(fitted.decode(fitted.encode(text)), text)

    def test_wilson(self) -> None:
        low, high = intervals.wilson(90, 100)
        self.assertAlmostEqual(low, 0.8256, places=4)
        self.assertAlmostEqual(high, 0.9448, places=4)

    def test_paired_difference(self) -> None:
        before, after = [True] * 50 + [False] * 50, [True] * 30 + [False] * 70
        mean, low, high = intervals.paired_difference(before, after, list(map(str, range(100))))
        self.assertAlmostEqual(mean, -0.2)
        self.assertTrue(-0.3 < low < -0.1 and -0.2 < high < -0.1)


if __name__ == "__main__":
    unittest.main()
