"""Writes Piper voices of a few hundred numbers: real files, whose sound is a buzz."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

RATE = 16_000
HOP = 64
"""Samples a frame."""
_WIDTH = 4
_FRAMES = 20
"""Frames a phoneme."""


def write_voice(
    folder: Path,
    name: str = "en_GB-tiny-low",
    *,
    speakers: Sequence[str] = (),
    can_be_split: bool = True,
) -> Path:
    """Writes a voice with its description, and returns the path of its `.onnx`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(network(len(speakers), can_be_split=can_be_split), path)
    language = name.partition("_")[0]
    content = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": language},
        "language": {"family": language},
        "num_symbols": 256,
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {speaker: number for number, speaker in enumerate(speakers)},
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "hop_length": HOP,
    }
    Path(f"{path}.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def network(speakers: int = 0, *, can_be_split: bool = True) -> onnx.ModelProto:
    """Makes a network with the inputs, the output and the decoder of a Piper voice.

    One that cannot be split uses the phonemes in its decoder, too.
    """
    random = np.random.default_rng(7)
    weights: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def weight(name: str, *shape: int) -> str:
        values = random.uniform(-0.5, 0.5, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(name: str, values: Any, kind: type[np.generic]) -> str:
        weights.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def node(operation: str, output: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [output], output, **attributes))
        return output

    # The plan holds each phoneme for so many frames, times the length scale.
    node("Gather", "length", "scales", constant("one", [1], np.int64))
    node("Mul", "frames", "length", constant("usual", [_FRAMES], np.float32))
    node("Cast", "frames_each", "frames", to=TensorProto.INT64)
    node("Concat", "repeats", constant("ones", [1, 1, 1], np.int64), "frames_each", axis=0)
    node("Cast", "numbers", "input", to=TensorProto.FLOAT)
    node("Unsqueeze", "columns", "numbers", constant("axes", [1, 3], np.int64))
    node("Tile", "held", "columns", "repeats")
    node("Reshape", "line", "held", constant("shape", [1, 1, -1], np.int64))
    node("Conv", "spread", "line", weight("spreading", 2, 1, 1))
    node("Sin", "plan", "spread")

    node("Conv", "first", "plan", weight("first_w", _WIDTH, 2, 7), kernel_shape=[7], pads=[3, 3])
    at = "first"
    if speakers:
        node("Gather", "embedded", weight("embedding", speakers, _WIDTH), "sid")
        node("Unsqueeze", "column", "embedded", constant("last", [2], np.int64))
        node("Conv", "condition", "column", weight("cond_w", _WIDTH, _WIDTH, 1), kernel_shape=[1])
        at = node("Add", "conditioned", "first", "condition")
    if not can_be_split:
        node("ReduceMean", "mean", "numbers", axes=[1], keepdims=0)
        at = node("Add", "shifted", at, "mean")
    node("LeakyRelu", "relu", at)
    up = weight("up_w", _WIDTH, _WIDTH, 2 * HOP)
    node("ConvTranspose", "up", "relu", up, strides=[HOP], pads=[HOP // 2, HOP // 2])
    node("Conv", "post", "up", weight("post_w", 1, _WIDTH, 7), kernel_shape=[7], pads=[3, 3])
    node("Tanh", "output", "post")

    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    sound = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "samples"])
    graph = helper.make_graph(nodes, "tiny", inputs, [sound], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
