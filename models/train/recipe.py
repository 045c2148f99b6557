"""The whole recipe: tasks, tokenizer, training, GGUF file, evaluation.

    python3 recipe.py --out /tmp/run1 --seed 1                      # 20 minutes on two cores
    python3 recipe.py --out /tmp/run1 --seed 1 --device cuda --rows 64
    python3 recipe.py --out /tmp/tiny --tiny                        # two minutes: does it all run?

Arguments that are not known here go to train.py. The tiny model is useless, but every step is taken
and checked: the loss falls, an interrupted training ends where an uninterrupted one does, the file is
read back, and every skill is graded.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TINY = ["--layers", "1", "--rows", "4", "--vocabulary", "768", "--steps", "60", "--warmup", "10",
        "--log-steps", "10"]


def call(script: str, *arguments: object) -> str:
    """Runs a script of this folder; its output is shown and returned."""
    process = subprocess.Popen([sys.executable, HERE / script, *map(str, arguments)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait() != 0:
        raise SystemExit(f"{script} failed")
    return "".join(lines)


def losses(log: str) -> list[float]:
    """The answer losses in the output of train.py."""
    return [float(line.split("answer loss ")[1].split()[0]) for line in log.splitlines()
            if "answer loss" in line]


def tiny(out: pathlib.Path) -> None:
    """Every step at the smallest size, with checks."""
    tasks, text = out / "tasks", out / "text"
    for run in ("run", "resumed"):  # of a run before this one
        shutil.rmtree(out / run, ignore_errors=True)
    call("tasks.py", "--out", tasks, "--text", text, "--count", 8)
    whole = losses(call("train.py", "--out", out / "run", *TINY))
    if not whole[-1] < 0.7 * whole[0]:
        raise SystemExit(f"the loss does not fall: {whole}")
    # The same run, stopped after 40 steps, continued from its checkpoint.
    call("train.py", "--out", out / "resumed", *TINY, "--stop-at", 40)
    call("train.py", "--out", out / "resumed", *TINY)
    for run in ("run", "resumed"):
        call("export.py", "--run", out / run, "--out", out / f"{run}.gguf")
    if (out / "run.gguf").read_bytes() != (out / "resumed.gguf").read_bytes():
        raise SystemExit("an interrupted training ends elsewhere")
    call("evaluate.py", out / "run.gguf", "--split", "dev", "--tasks", tasks, "--text",
         text / "heldout.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    args, rest = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tiny:
        tiny(args.out)
        return
    call("tasks.py", "--out", HERE.parent / "tasks", "--text", HERE.parent / "text")
    call("train.py", "--out", args.out, *rest)
    call("export.py", "--run", args.out, "--out", args.out / "model-f16.gguf")
    call("evaluate.py", args.out / "model-f16.gguf", "--split", "dev")


if __name__ == "__main__":
    main()
