#!/usr/bin/env python3
"""Divergence of files of two quantizers from the model that both were made of, type by type.

    bench/compare_divergence.py path/to/llama-quantize build/release/bin MODEL=TEXT [MODEL=TEXT ...]

Cuts each text into pieces of 4 kB and deals them out to two: one for an importance matrix, which
both programs get, one to measure with. For every mix, with the matrix and (where the mix can be made
so) without, prints the mean D(model || file) of the other program's file, of brink's, and their
ratio; with several models the ratio's geometric mean over them, with a 95 % interval (Student's t of
the logarithms): one file is one draw of rounding errors, several tell what the encoder does.
"""

import argparse
import json
import math
import pathlib
import tempfile

from peer import deal, run

WINDOW = "256"
MIXES = ("Q8_0 Q6_K Q5_K_M Q5_1 Q5_0 Q4_K_M Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_M IQ3_S Q3_K_S Q2_K TQ2_0 "
         "TQ1_0").split()
IMPORTANCE_ONLY = "IQ3_XXS IQ2_M IQ2_XXS IQ1_M IQ1_S".split()
NO_IMPORTANCE = {"TQ2_0", "TQ1_0"}  # its files are the same with it
# 0.975 quantiles of Student's t by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def measure(peer, tools, model, text, mixes, folder, high):
    """(mix, with importance) -> mean divergence of the other file and of brink's."""
    importance, evaluation, matrix = (folder / n for n in ("importance.txt", "evaluation.txt",
                                                           "imatrix.gguf"))
    deal(pathlib.Path(text), (importance, evaluation))
    run(tools / "qeval", "importance", "-m", model, "-f", importance, "-c", WINDOW, "-o", matrix,
        "--parse-special")
    files = {}
    for mix in mixes:
        for weighed in (False, True):
            if mix in (NO_IMPORTANCE if weighed else IMPORTANCE_ONLY):
                continue
            options = ["--imatrix", matrix] if weighed else []
            theirs, ours = (folder / f"{mix}{'-i' if weighed else ''}-{n}.gguf"
                            for n in ("peer", "brink"))
            if high:
                run(tools / "quantize", model, theirs, mix, *options)
                run(tools / "quantize", model, ours, mix, *options, "--effort", "high")
            else:
                run(peer, *options, model, theirs, mix, 2)
                run(tools / "quantize", model, ours, mix, *options)
            files[mix, weighed] = (theirs, ours)
    models = [option for pair in files.values() for path in pair for option in ("-m", path)]
    rows = json.loads(run(tools / "qeval", "divergence", "--base", model, *models, "-f", evaluation,
                          "-c", WINDOW, "--parse-special", "--activations", "f32", "--kv-type",
                          "f32", "--json"))
    mean = {row["model"]: row["kl.mean"] for row in rows}
    return {key: tuple(mean[str(path)] for path in pair) for key, pair in files.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", help="llama-quantize")
    parser.add_argument("tools", help="folder of quantize and qeval", type=pathlib.Path)
    parser.add_argument("models", nargs="+", metavar="MODEL=TEXT")
    parser.add_argument("--mixes", default=" ".join(MIXES + IMPORTANCE_ONLY))
    parser.add_argument("--high", action="store_true",
                        help="instead of the other program compare --effort high with the default")
    a = parser.parse_args()
    results = []
    for pair in a.models:
        model, text = pair.split("=")
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(a.peer, a.tools, model, text, a.mixes.split(),
                                   pathlib.Path(folder), a.high))
    names = ("default", "high") if a.high else ("peer", "brink")
    print("mix      matrix  " +
          "  ".join(f"{names[0]:>8} {names[1]:>8} ratio" for _ in results) +
          "   geometric mean [95 %]")
    for key in results[0]:
        cells = "  ".join(f"{r[key][0]:8.5f} {r[key][1]:8.5f} {r[key][1] / r[key][0]:5.3f}"
                          for r in results)
        logs = [math.log(r[key][1] / r[key][0]) for r in results]
        line = f"{key[0]:8} {'yes' if key[1] else 'no':6}  {cells}"
        if len(logs) > 1:
            mean = sum(logs) / len(logs)
            deviation = math.sqrt(sum((x - mean)**2 for x in logs) / (len(logs) - 1))
            half = STUDENT[len(logs) - 1] * deviation / math.sqrt(len(logs))
            line += (f"   {math.exp(mean):.3f} [{math.exp(mean - half):.3f}, "
                     f"{math.exp(mean + half):.3f}]")
        print(line, flush=True)


if __name__ == "__main__":
    main()
