"""Makes slower copies of the tiny receptionist, with idle layers that change none of its words.

An idle layer is a copy of one of the model's layers whose last weights are zero: it takes time and
changes no word. Only a slow model can be interrupted reliably amid an answer, whatever else the
machine does.
"""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_ADDS = ("attn_output", "ffn_down", "o_proj", "down_proj")
"""The weights through which a layer changes the output; with zeros there it is idle."""


def slow_gguf(model: Path, slower: Path, idle_layers: int) -> None:
    """Writes a copy of a GGUF model with that many more layers."""
    reader = gguf.GGUFReader(model)
    key = "llama.block_count"
    layers = int(reader.fields[key].contents())
    writer = gguf.GGUFWriter(slower, "llama")
    writer.add_block_count(layers + idle_layers)
    for name, field in reader.fields.items():
        if name not in {key, "general.architecture"} and not name.startswith("GGUF."):
            kind, *inner = field.types
            writer.add_key_value(name, field.contents(), kind, inner[-1] if inner else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
        if tensor.name.startswith("blk.0."):
            idle = np.zeros_like(tensor.data) if _adds(tensor.name) else tensor.data
            for layer in range(layers, layers + idle_layers):
                writer.add_tensor(tensor.name.replace("blk.0.", f"blk.{layer}."), idle)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def slow_folder(model: Path, slower: Path, idle_layers: int) -> None:
    """Writes a copy of a Hugging Face folder with that many more layers."""
    shutil.copytree(model, slower, ignore=shutil.ignore_patterns("model.safetensors"))
    config = json.loads((model / "config.json").read_text())
    layers = config["num_hidden_layers"]
    config["num_hidden_layers"] = layers + idle_layers
    (slower / "config.json").write_text(json.dumps(config))
    tensors, weights = _read_safetensors(model / "model.safetensors")
    first = {name: tensor for name, tensor in tensors.items() if ".layers.0." in name}
    for name, tensor in first.items():
        begin, end = tensor["data_offsets"]
        idle = bytes(end - begin) if _adds(name) else weights[begin:end]
        for layer in range(layers, layers + idle_layers):
            at = len(weights)
            weights += idle
            tensors[name.replace(".layers.0.", f".layers.{layer}.")] = {
                **tensor,
                "data_offsets": [at, at + len(idle)],
            }
    header = json.dumps(tensors).encode()
    with (slower / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(weights)


def _adds(name: str) -> bool:
    return any(part in name for part in _ADDS)


def _read_safetensors(file: Path) -> tuple[dict[str, dict[str, Any]], bytearray]:
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), bytearray(raw[8 + length :])
