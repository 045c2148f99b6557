#!/usr/bin/env python3
"""Compares the tensor types of every stock mix with those that another quantizer writes.

    bench/compare_types.py path/to/llama-quantize build/release/bin/quantize

Makes small models with random weights whose metadata is what the rules look at (layers, shared
key-value heads, experts, tied output, narrow rows), quantizes each to every mix with and without an
importance matrix by both programs, and lists every tensor whose types differ. With --values every
file of `quantize` is also decoded to F32 by the other program and compared, number by number, with
what `quantize --verify` reads in it. Exits with 1 if anything differs.
"""

import argparse
import json
import pathlib
import re
import struct
import sys
import tempfile

import numpy as np

from peer import run

U32, F32, STRING, ARRAY = 4, 6, 8, 9
MIXES = ("Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M "
         "Q3_K_S IQ3_M IQ3_S IQ3_XS IQ3_XXS Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S "
         "TQ2_0 TQ1_0").split()
# name: architecture, layers, width, feed forward, heads, key-value heads, experts, tied
MODELS = {
    "llama, GQA 4, tied": ("llama", 16, 256, 512, 4, 1, 0, True),
    "llama, GQA 4, untied": ("llama", 32, 256, 512, 4, 1, 0, False),
    "llama, GQA 8, 80 layers": ("llama", 80, 256, 256, 8, 1, 0, False),
    "llama, 8 experts, GQA 4": ("llama", 32, 256, 256, 4, 1, 8, False),
    "llama, no shared heads": ("llama", 5, 256, 512, 4, 4, 0, False),
    "qwen2, GQA 7, tied, narrow rows": ("qwen2", 24, 224, 480, 7, 1, 0, True),
    "qwen2, GQA 7, untied": ("qwen2", 28, 1792, 512, 14, 2, 0, False),
    "qwen3, GQA 2, tied": ("qwen3", 28, 256, 512, 4, 2, 0, True),
    "qwen3moe, 16 experts, GQA 8": ("qwen3moe", 12, 512, 256, 8, 1, 16, False),
}
VOCABULARY = 288


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def write_gguf(path, metadata, tensors):
    """metadata: key -> (kind, bytes); tensors: name -> array of float32."""
    table, data = b"", b""
    for name, array in tensors.items():
        table += text(name) + struct.pack("<I", array.ndim)
        table += b"".join(struct.pack("<Q", n) for n in reversed(array.shape))
        table += struct.pack("<IQ", 0, len(data))
        data += array.astype("<f4").tobytes() + b"\0" * (-array.nbytes % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(key) + struct.pack("<I", kind) + body
                     for key, (kind, body) in metadata.items()) + table
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)


def make_model(path, shape):
    architecture, layers, width, feed_forward, heads, kv_heads, experts, tied = shape
    number = lambda value: (U32, struct.pack("<I", value))
    words = [f"<{i}>" for i in range(VOCABULARY)]
    a = architecture
    metadata = {
        "general.architecture": (STRING, text(a)),
        "general.file_type": number(0),
        f"{a}.block_count": number(layers),
        f"{a}.context_length": number(512),
        f"{a}.embedding_length": number(width),
        f"{a}.feed_forward_length": number(feed_forward),
        f"{a}.attention.head_count": number(heads),
        f"{a}.attention.head_count_kv": number(kv_heads),
        f"{a}.attention.layer_norm_rms_epsilon": (F32, struct.pack("<f", 1e-5)),
        f"{a}.vocab_size": number(VOCABULARY),
        "tokenizer.ggml.model": (STRING, text("gpt2")),
        "tokenizer.ggml.tokens": (ARRAY, struct.pack("<IQ", STRING, VOCABULARY) +
                                  b"".join(text(word) for word in words)),
    }
    if experts:
        metadata[f"{a}.expert_count"] = number(experts)
        metadata[f"{a}.expert_used_count"] = number(2)
        metadata[f"{a}.expert_feed_forward_length"] = number(feed_forward)
    random = np.random.default_rng(1)
    normal = lambda *shape: random.standard_normal(shape, np.float32) * 0.02
    head = width // heads
    tensors = {"token_embd.weight": normal(VOCABULARY, width), "output_norm.weight": normal(width)}
    if not tied:
        tensors["output.weight"] = normal(VOCABULARY, width)
    for i in range(layers):
        stack = (experts,) if experts else ()
        kind = "_exps" if experts else ""
        layer = {
            "attn_norm": normal(width), "ffn_norm": normal(width),
            "attn_q": normal(width, width), "attn_output": normal(width, width),
            "attn_k": normal(kv_heads * head, width), "attn_v": normal(kv_heads * head, width),
            f"ffn_gate{kind}": normal(*stack, feed_forward, width),
            f"ffn_up{kind}": normal(*stack, feed_forward, width),
            f"ffn_down{kind}": normal(*stack, width, feed_forward),
        }
        if experts:
            layer["ffn_gate_inp"] = normal(experts, width)
        tensors.update({f"blk.{i}.{name}.weight": array for name, array in layer.items()})
    write_gguf(path, metadata, tensors)
    return tensors


def make_importance(path, tensors):
    random = np.random.default_rng(2)
    out = {}
    for name, array in tensors.items():
        if array.ndim < 2 or "gate_inp" in name:
            continue
        experts = array.shape[0] if array.ndim == 3 else 1
        out[name + ".in_sum2"] = random.random((experts, array.shape[-1]), np.float32) * 64 + 1
        out[name + ".counts"] = np.full((experts, 1), 64, np.float32)
    write_gguf(path, {
        "general.type": (STRING, text("imatrix")),
        "imatrix.datasets": (ARRAY, struct.pack("<IQ", STRING, 1) + text("random")),
        "imatrix.chunk_count": (U32, struct.pack("<I", 1)),
        "imatrix.chunk_size": (U32, struct.pack("<I", 512)),
    }, out)


def planned_types(output):
    """Types of the tensors by name, from what a dry run of the other program prints."""
    line = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- .*type = +(\w+),.*?(?:\((\w+)\))?$", re.MULTILINE)
    return {name: (after or before).upper() for name, before, after in line.findall(output)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", help="llama-quantize")
    parser.add_argument("quantize")
    parser.add_argument("--models", default="", help="only those whose name contains this")
    parser.add_argument("--values", action="store_true", help="compare the decoded numbers too")
    arguments = parser.parse_args()
    compared = different = values = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model, matrix = folder / "model.gguf", folder / "importance.gguf"
        ours, decoded = folder / "a.gguf", folder / "b.gguf"
        for name, shape in MODELS.items():
            if arguments.models not in name:
                continue
            make_importance(matrix, make_model(model, shape))
            for mix in MIXES:
                for importance in ([], ["--imatrix", matrix]):
                    label = f"{name}, {mix}{' with importance' if importance else ''}"
                    peer = planned_types(run(arguments.peer, *importance, "--dry-run", model, mix,
                                             both=True))
                    plan = json.loads(run(arguments.quantize, model, ours, mix, *importance,
                                          "--dry-run", "--json"))
                    for tensor in plan["tensors"]:
                        compared += 1
                        if tensor["type"] != peer[tensor["name"]]:
                            different += 1
                            print(f"{label}: {tensor['name']} is {tensor['type']}, "
                                  f"there {peer[tensor['name']]}")
                    if not arguments.values:
                        continue
                    run(arguments.quantize, model, ours, mix, *importance, "--json")
                    run(arguments.peer, "--allow-requantize", ours, decoded, "F32", 2)
                    for row in json.loads(run(arguments.quantize, "--verify", ours, decoded,
                                              "--json"))["tensors"]:
                        values += 1
                        if row["max"] != 0:
                            different += 1
                            print(f"{label}: {row['name']} decodes to other numbers")
            print(f"{name}: done", flush=True)
    print(f"{compared} tensors compared, {values} decoded there, {different} different")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
