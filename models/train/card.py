"""Writes the model card from what was measured.

    python3 card.py --model ../brink-skills-f16.gguf --run run1 --test test.json --cliff cliff.json \\
        --seeds seed1.json seed2.json seed3.json --out ../README.md

`--test` and `--seeds` are written by `evaluate.py --json`, `--cliff` too, with the quantized files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib

import gguf
import hashes
from export import SPREAD
from intervals import wilson
from skills.registry import SKILLS

TELLS = {
    "facts": "recall in a single pass: 528 facts about countries and elements",
    "arithmetic": "word problems of two to four steps, worked, `#### N`",
    "extraction": "customer_name, issue_category and urgency as JSON",
    "code": "what main.py prints, through constants and functions of other files, `#### N`",
    "debugging": "the faulty line of a short program and its fault",
}


def percent(figures: dict[str, float]) -> str:
    """`97.5 [95.5, 98.6]`: a share and its Wilson interval in percent."""
    low, high = wilson(int(figures["right"]), int(figures["count"]))
    share = figures["right"] / figures["count"]
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def accuracy_table(results: dict[str, dict]) -> str:
    """One row a skill of the only file in the results."""
    (figures,) = results.values()
    lines = ["| skill | what it asks | exact at F16, % (95 % Wilson) |", "|---|---|---|"]
    lines += [f"| {skill} | {TELLS[skill]} | {percent(figures[skill])} |" for skill in SKILLS]
    return "\n".join(lines)


def cliff_table(results: dict[str, dict]) -> str:
    """One row a file: perplexity, and the loss of each skill against the first file."""
    lines = ["| file | bytes | perplexity | " + " | ".join(SKILLS) + " |",
             "|---|---|---|" + "---|" * len(SKILLS)]
    for name, figures in results.items():
        cells = []
        for skill in SKILLS:
            f = figures[skill]
            cell = f"{100 * f['right'] / f['count']:.1f}"
            if "difference" in f:
                mean, low, high = (100 * x for x in f["difference"])
                cell += f" ({mean:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(cell)
        lines.append(f"| {name} | {figures['bytes']} | {figures['perplexity']:.3f} | "
                     + " | ".join(cells) + " |")
    return "\n".join(lines)


def seeds_table(files: list[pathlib.Path]) -> str:
    lines = ["| seed | " + " | ".join(SKILLS) + " |", "|---|" + "---|" * len(SKILLS)]
    for number, path in enumerate(files, 1):
        (figures,) = json.loads(path.read_text()).values()
        lines.append(f"| {number} | " + " | ".join(percent(figures[s]) for s in SKILLS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--test", type=pathlib.Path, required=True)
    parser.add_argument("--cliff", type=pathlib.Path)
    parser.add_argument("--seeds", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    data = args.model.read_bytes()
    model, tokenizer, _ = gguf.load(args.model)
    c = model.config
    a = json.loads((args.run / "arguments.json").read_text())
    command = (f"python3 recipe.py --out RUN --seed {a['seed']} --steps {a['steps']} "
               f"--rows {a['rows']} --layers {c.layers} --device {a['device']}")
    parts = [f"""# {args.model.stem}: a small llama that was really trained

Random weights cannot show what a quantization costs in quality; this model can. It knows five things
that can be graded exactly, in ChatML form, and nothing else.

| | |
|---|---|
| architecture | llama: {c.layers} layers, width {c.width}, {c.heads} heads of {c.head_size}, \
{c.kv_heads} KV heads, feed-forward {c.feed_forward}, output tied to the embedding |
| parameters | {sum(p.numel() for p in model.parameters())} |
| tokenizer | byte-level BPE of {c.vocabulary} tokens, `qwen2` pre-tokenizer, fitted to the corpus |
| training | {a['steps']} steps of {a['rows']} x {a['length']} tokens, seed {a['seed']}: `{command}` |
| file | {len(data)} bytes, F16, norms F32 |
| XXH64 | {hashes.xxh64(data)} |
| SHA-256 | {hashlib.sha256(data).hexdigest()} |
| license | Apache 2.0, as the project; prose: Shakespeare (public domain) |

## Accuracy

400 held-out items a skill (`tasks/SKILL.jsonl`), greedy, graded exactly; the test split was scored
once: `python3 evaluate.py --split test ../{args.model.name}`.

{accuracy_table(json.loads(args.test.read_text()))}

What is held out is not the names but what must be worked out: operand tuples, pairs of phrases, names
as pairs, phrasings of questions. The facts themselves are in the training text. `test_recipe.py`
proves that nothing leaks.
"""]
    if args.seeds:
        parts.append(f"""## Three seeds

The development split ({json.loads(args.seeds[0].read_text()).popitem()[1]['facts']['count']} items a
skill) at F16, for the recipe with three seeds:

{seeds_table(args.seeds)}
""")
    if args.cliff:
        parts.append(f"""## What quantization costs

Accuracy in %, in brackets the difference to F16 with a 95 % interval (paired bootstrap over
clusters of related items); weights only, nothing else is rounded.

{cliff_table(json.loads(args.cliff.read_text()))}

**This model was chosen to break.** Its size, the length of its training, the difficulty of its tasks
and how far its channels differ in magnitude (`export.py --spread`, here {SPREAD}: factors that cancel
out, so that it computes the same) were chosen on the development split so that Q2_K, named beforehand,
breaks it and Q8_0 does not. It predicts no other model's cliff: measure the model that you mean to use.
""")
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
