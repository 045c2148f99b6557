"""GGUF files: writing the model as F16, and reading any file of this model back, quantized or not."""

from __future__ import annotations

import pathlib
import struct
from typing import Any

import numpy as np
import torch

import quants
from gguf_header import ARRAY, STRING, read_header
from model import Config, Llama
from tokenizer import SPECIALS, Tokenizer

ALIGNMENT = 32
U32, I32, F32, BOOL = 4, 5, 6, 7
NORMAL, CONTROL = 1, 3  # token types
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _array(kind: int, values: list[Any]) -> bytes:
    body = b"".join(_string(v) if kind == STRING else struct.pack("<i", v) for v in values)
    return struct.pack("<IQ", kind, len(values)) + body


def _metadata(config: Config, tokenizer: Tokenizer, name: str) -> list[tuple[str, int, bytes]]:
    c = config

    def number(key: str, value: int) -> tuple[str, int, bytes]:
        return key, U32, struct.pack("<I", value)

    def text(key: str, value: str) -> tuple[str, int, bytes]:
        return key, STRING, _string(value)

    types = [CONTROL if t in SPECIALS else NORMAL for t in tokenizer.tokens]
    return [
        text("general.architecture", "llama"),
        text("general.type", "model"),
        text("general.name", name),
        text("general.license", "apache-2.0"),
        number("general.file_type", 1),
        number("general.quantization_version", 2),
        number("llama.context_length", c.context),
        number("llama.embedding_length", c.width),
        number("llama.block_count", c.layers),
        number("llama.feed_forward_length", c.feed_forward),
        number("llama.vocab_size", c.vocabulary),
        number("llama.attention.head_count", c.heads),
        number("llama.attention.head_count_kv", c.kv_heads),
        ("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", c.epsilon)),
        ("llama.rope.freq_base", F32, struct.pack("<f", c.rope_base)),
        number("llama.rope.dimension_count", c.head_size),
        text("tokenizer.ggml.model", "gpt2"),
        text("tokenizer.ggml.pre", "qwen2"),
        ("tokenizer.ggml.tokens", ARRAY, _array(STRING, tokenizer.tokens)),
        ("tokenizer.ggml.token_type", ARRAY, _array(I32, types)),
        ("tokenizer.ggml.merges", ARRAY, _array(STRING, [f"{a} {b}" for a, b in tokenizer.merges])),
        number("tokenizer.ggml.bos_token_id", tokenizer.ids["<|endoftext|>"]),
        number("tokenizer.ggml.eos_token_id", tokenizer.end),
        ("tokenizer.ggml.add_bos_token", BOOL, b"\0"),
        text("tokenizer.chat_template", TEMPLATE),
    ]


def tensors(config: Config, p: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by their GGUF names. GGUF's llama turns neighbouring pairs, as the model does."""
    out = {"token_embd.weight": p["embedding"], "output_norm.weight": p["output_norm"]}
    for i in range(config.layers):
        q, k, v = p["qkv"][i].split(list(config.qkv))
        gate, up = p["gate_up"][i].split([config.feed_forward] * 2)
        for name, tensor in (
                ("attn_norm", p["attention_norm"][i]), ("attn_q", q), ("attn_k", k), ("attn_v", v),
                ("attn_output", p["out"][i]), ("ffn_norm", p["feed_forward_norm"][i]),
                ("ffn_gate", gate), ("ffn_up", up), ("ffn_down", p["down"][i])):
            out[f"blk.{i}.{name}.weight"] = tensor
    return out


def write(path: pathlib.Path, config: Config, parameters: dict[str, torch.Tensor],
          tokenizer: Tokenizer, name: str) -> None:
    """Matrices as F16, norms as F32."""
    metadata = _metadata(config, tokenizer, name)
    table, data = b"", b""
    named = tensors(config, parameters)
    for tensor_name, tensor in named.items():
        matrix = tensor.dim() == 2
        array = tensor.detach().cpu().numpy().astype("<f2" if matrix else "<f4")
        table += _string(tensor_name) + struct.pack("<I", array.ndim)
        table += b"".join(struct.pack("<Q", n) for n in reversed(array.shape))
        table += struct.pack("<IQ", 1 if matrix else 0, len(data))
        data += array.tobytes() + b"\0" * (-array.nbytes % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(named), len(metadata))
    head += b"".join(_string(key) + struct.pack("<I", kind) + body for key, kind, body in metadata)
    head += table
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)


def read(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, str]]:
    """Metadata, decoded tensors (f32) and their types."""
    with open(path, "rb") as f:
        try:
            metadata, table = read_header(f)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
        arrays, types = {}, {}
        for name, tensor in table.items():
            types[name], decode, block, size = quants.TYPES[tensor.kind]
            count = int(np.prod(tensor.shape))
            f.seek(tensor.offset)
            raw = np.frombuffer(f.read(count // block * size), np.uint8).reshape(-1, size)
            arrays[name] = decode(raw).reshape(tensor.shape)
        return metadata, arrays, types


def load(path: pathlib.Path) -> tuple[Llama, Tokenizer, dict[str, str]]:
    """The model in a GGUF file, computing in f32 on the decoded weights."""
    m, a, types = read(path)
    config = Config(
        vocabulary=m["llama.vocab_size"], width=m["llama.embedding_length"],
        layers=m["llama.block_count"], heads=m["llama.attention.head_count"],
        kv_heads=m["llama.attention.head_count_kv"], feed_forward=m["llama.feed_forward_length"],
        context=m["llama.context_length"], rope_base=m["llama.rope.freq_base"],
        epsilon=m["llama.attention.layer_norm_rms_epsilon"])
    blocks = [{n: a[f"blk.{i}.{n}.weight"] for n in (
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "attn_norm",
        "ffn_norm")} for i in range(config.layers)]

    def stacked(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.concatenate([b[n] for n in names]) for b in blocks]))

    model = Llama(config)
    model.load_state_dict({
        "embedding": torch.from_numpy(a["token_embd.weight"]),
        "output_norm": torch.from_numpy(a["output_norm.weight"]),
        "qkv": stacked("attn_q", "attn_k", "attn_v"), "out": stacked("attn_output"),
        "gate_up": stacked("ffn_gate", "ffn_up"), "down": stacked("ffn_down"),
        "attention_norm": stacked("attn_norm"), "feed_forward_norm": stacked("ffn_norm")})
    merges = [tuple(merge.split(" ")) for merge in m["tokenizer.ggml.merges"]]
    return model.eval(), Tokenizer(merges), types  # type: ignore[arg-type]
