#!/usr/bin/env python3
"""What the search for types gains and what the encoder gains, apart: two by two.

    bench/compare_search.py path/to/llama-quantize build/release/bin MODEL-f16.gguf TEXT [MIX ...]

Cuts the text into pieces of 4 kB and deals them out to three disjoint texts: importance, search,
evaluation. Both programs write the stock mix and, by `quantize --budget MIX`, the types that the
search found, all with the same importance matrix; `qeval divergence` measures the four files over
the evaluation text against the model itself.
"""

import argparse
import json
import pathlib
import tempfile

from peer import deal, run

WINDOW = "256"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", help="llama-quantize")
    parser.add_argument("tools", help="folder of quantize and qeval", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("mixes", nargs="*", default=["Q4_K_M", "Q3_K_M"])
    a = parser.parse_args()
    quantize, qeval = a.tools / "quantize", a.tools / "qeval"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        importance, search, evaluation = (folder / f"{name}.txt"
                                          for name in ("importance", "search", "evaluation"))
        deal(a.text, (importance, search, evaluation))
        matrix = folder / "imatrix.gguf"
        run(qeval, "importance", "-m", a.model, "-f", importance, "-c", WINDOW, "-o", matrix,
            "--parse-special")
        files = {}
        for mix in a.mixes:
            plan = json.loads(run(
                quantize, a.model, folder / "unwritten.gguf", "--budget", mix, "--text", search,
                "-c", WINDOW, "--parse-special", "--imatrix", matrix, "--sensitivities",
                folder / "sensitivities.json", "--dry-run", "--json"))
            matrices = [t for t in plan["tensors"] if t["type"] not in ("F32", t["from"])]
            rules = folder / f"{mix}.types"
            rules.write_text("".join(f"^{t['name']}$={t['type']}\n".replace(".", "\\.")
                                     for t in matrices))
            ours = sum((["--tensor-type", line] for line in rules.read_text().split()), [])
            embedding = [t["type"] for t in matrices if t["name"] == "token_embd.weight"]
            output = [t["type"] for t in matrices if t["name"] == "output.weight"]
            theirs = ["--imatrix", matrix, "--tensor-type-file", rules]
            for option, kind in (("--token-embedding-type", embedding),
                                 ("--output-tensor-type", output or embedding)):
                theirs += [option, kind[0]] if kind else []
            out = {(types, encoder): folder / f"{mix}-{types}-{encoder}.gguf"
                   for types in ("stock", "search") for encoder in ("peer", "brink")}
            run(quantize, a.model, out["stock", "brink"], mix, "--imatrix", matrix)
            run(quantize, a.model, out["search", "brink"], mix, "--imatrix", matrix, *ours)
            run(a.peer, "--imatrix", matrix, a.model, out["stock", "peer"], mix, 2)
            run(a.peer, *theirs, a.model, out["search", "peer"], mix, 2)
            # Only files of equal types can be compared.
            for types in ("stock", "search"):
                pair = [json.loads(run(quantize, "--verify", a.model, out[types, e], "--json"))
                        for e in ("peer", "brink")]
                kinds = [{t["name"]: t["other_type"] for t in p["tensors"]} for p in pair]
                for name in kinds[0]:
                    if kinds[0][name] != kinds[1][name]:
                        raise SystemExit(f"{mix}, {types}: {name} is {kinds[1][name]}, "
                                         f"of the peer {kinds[0][name]}")
            files.update({(mix, *key): path for key, path in out.items()})
        models = sum((["-m", path] for path in files.values()), [])
        rows = json.loads(run(qeval, "divergence", "--base", a.model, *models, "-f", evaluation,
                              "-c", WINDOW, "--parse-special", "--activations", "f32",
                              "--kv-type", "f32", "--json"))
        by_path = {row["model"]: row for row in rows}
        print("bytes of  types   encoder         KB  mean KL [95 %]              of stock, peer")
        for (mix, types, encoder), path in files.items():
            row, base = by_path[str(path)], by_path[str(files[mix, "stock", "peer"])]
            low, high = row["kl.mean.ci"]
            print(f"{mix:9} {types:7} {encoder:9} {path.stat().st_size / 1024:8.0f}  "
                  f"{row['kl.mean']:.5f} [{low:.5f}, {high:.5f}]  "
                  f"{row['kl.mean'] / base['kl.mean']:14.3f}")


if __name__ == "__main__":
    main()
