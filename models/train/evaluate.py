"""Answers the held-out items with GGUF files and grades them.

    python3 evaluate.py --split dev model-f16.gguf model-Q2_K.gguf

The first file is the one that the others are compared with. Weights are decoded to f32, nothing else
is rounded. Grading is exact (skills/registry.py); intervals are Wilson's, those of differences a
paired bootstrap over the items' clusters.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch  # noqa: E402

import gguf  # noqa: E402
import tasks  # noqa: E402
from generate import answer_all  # noqa: E402
from intervals import paired_difference, wilson  # noqa: E402
from model import Llama, document_mask  # noqa: E402
from skills.registry import SKILLS, correct  # noqa: E402
from tokenizer import SPECIALS, Tokenizer  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def grade(model: Llama, tokenizer: Tokenizer, skill: str,
          items: list[dict[str, str]]) -> tuple[list[bool], list[str]]:
    """Which items are answered right, and the answers."""
    answers = answer_all(model, tokenizer, [item["question"] for item in items])
    return [correct(skill, i["answer"], a) for i, a in zip(items, answers)], answers


@torch.no_grad()
def perplexity(model: Llama, tokenizer: Tokenizer, text: str, length: int = 256) -> float:
    """Perplexity of windows of `length` tokens, the second half of each counted."""
    ids: list[int] = []
    rest = text
    while rest:
        at, special = min(((rest.find(s), s) for s in SPECIALS if s in rest), default=(-1, ""))
        ids += tokenizer.encode(rest if at < 0 else rest[:at])
        if at < 0:
            break
        ids.append(tokenizer.ids[special])
        rest = rest[at + len(special):]
    rows = torch.tensor(ids[:len(ids) // length * length]).view(-1, length)
    mask = document_mask(torch.zeros(1, length))
    positions = torch.arange(length)[None]
    total, count = 0.0, 0
    for row in rows.split(16):
        hidden = model(row, mask, model.rotations(positions))
        logits = model.logits(hidden[:, length // 2:-1]).log_softmax(-1)
        picked = logits.gather(-1, row[:, length // 2 + 1:, None])
        total, count = total - float(picked.sum()), count + picked.numel()
    return math.exp(total / max(1, count))


def main(arguments: list[str] | None = None) -> dict[str, dict[str, object]]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--tasks", type=pathlib.Path, default=HERE.parent / "tasks")
    parser.add_argument("--text", type=pathlib.Path, default=HERE.parent / "text/heldout.txt")
    parser.add_argument("--limit", type=int, help="only the first items of each skill")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print per skill")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    results: dict[str, dict[str, object]] = {}
    first: dict[str, list[bool]] = {}
    for path in args.files:
        model, tokenizer, _ = gguf.load(path)
        result: dict[str, object] = {
            "bytes": path.stat().st_size,
            "perplexity": perplexity(model, tokenizer, args.text.read_text())}
        print(f"{path.name}: {path.stat().st_size} bytes, perplexity {result['perplexity']:.4f}")
        for skill in SKILLS:
            items = tasks.read(tasks.path_of(args.tasks, skill, args.split))[:args.limit]
            right, answers = grade(model, tokenizer, skill, items)
            low, high = wilson(sum(right), len(right))
            line = f"  {skill:11} {sum(right)}/{len(right)} [{100 * low:.1f}, {100 * high:.1f}] %"
            figures = {"right": sum(right), "count": len(right), "low": low, "high": high}
            if skill in first:
                d = paired_difference(first[skill], right, [i["cluster"] for i in items])
                figures["difference"] = d
                line += f"  difference {100 * d[0]:+.1f} [{100 * d[1]:+.1f}, {100 * d[2]:+.1f}]"
            print(line, flush=True)
            result[skill] = figures
            if path == args.files[0]:
                first[skill] = right
            wrong = [(i, a) for i, a, ok in zip(items, answers, right) if not ok]
            for item, answer in wrong[:args.show]:
                print(f"    {item['question']!r}\n      expected {item['answer']!r}"
                      f"\n      given    {answer!r}")
        results[path.name] = result
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
