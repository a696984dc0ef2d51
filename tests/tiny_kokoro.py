"""Writes Kokoro models and voices of a few numbers: real files, whose sound is a buzz."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SAMPLES = 1_200
"""Samples a phoneme at speed 1: 0.05 s."""


def write_kokoro(folder: Path, *voices: str, as_bundle: bool = False) -> Path:
    """Writes a model with such voices, a file each or all in one, and returns the folder."""
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    onnx.save(_network(), folder / "kokoro-v1.0.onnx")
    styles = {
        voice: np.full((510, 256), 0.5 + number, np.float32) for number, voice in enumerate(voices)
    }
    if as_bundle:
        with (folder / "voices-v1.0.bin").open("wb") as file:
            np.savez(
                file, allow_pickle=False, **{name: one[:, None] for name, one in styles.items()}
            )
    else:
        for name, style in styles.items():
            style.tofile(folder / "voices" / f"{name}.bin")
    return folder


def _network() -> onnx.ModelProto:
    """Makes a network that holds each phoneme as a tone whose pitch depends on the style."""
    weights = [
        numpy_helper.from_array(np.array([_SAMPLES], np.float32), "usual"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([-1], np.int64), "any"),
        numpy_helper.from_array(np.array([0.3], np.float32), "size"),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "column_shape"),
        numpy_helper.from_array(np.array(0, np.int64), "zero"),
    ]
    nodes = [
        helper.make_node("Div", ["usual", "speed"], ["length"]),
        helper.make_node("Cast", ["length"], ["count"], to=TensorProto.INT64),
        helper.make_node("Concat", ["one", "count"], ["repeats"], axis=0),
        helper.make_node("Cast", ["tokens"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["numbers", "column_shape"], ["column"]),
        helper.make_node("Tile", ["column", "repeats"], ["table"]),
        helper.make_node("Reshape", ["table", "any"], ["line"]),
        helper.make_node("CumSum", ["line", "zero"], ["phase"]),
        helper.make_node("ReduceMean", ["style"], ["pitch"], axes=[0, 1], keepdims=0),
        helper.make_node("Mul", ["phase", "pitch"], ["bent"]),
        helper.make_node("Sin", ["bent"], ["wave"]),
        helper.make_node("Mul", ["wave", "size"], ["audio"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "phonemes"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
