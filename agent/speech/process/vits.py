"""Splits a VITS network, so that its sound can be made piece by piece.

A VITS voice is an encoder, which plans a whole utterance, and a HiFi-GAN decoder, which makes sound
of the plan (Kim et al. 2021, arXiv:2106.06103). The decoder does three quarters of the work and
sees only a few frames around each sample, so that it may run over parts of the plan.
"""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import Extractor

from agent.speech.process.sound import Samples

Plan = NDArray[np.float32]
"""The plan of an utterance: 1 x channels x frames."""

OVERLAP = 14
"""Frames to either side of a frame that its sound depends on.

The largest of Piper's decoders has, in frames, 3 for its first convolution, 2 for its first
upsampling, 7.5 for the blocks after it, and 1.4 for all that follows at higher rates.
"""
_FIRST, _LONGEST = 16, 64
"""Frames of the first piece of sound and of the longest: 0.19 and 0.74 s at 22.05 kHz."""
_BETWEEN = frozenset({"LeakyRelu", "Add"})
"""Operations between the decoder's first convolution and its first upsampling."""
_SPEAKER = "sid"


def split(model: onnx.ModelProto) -> tuple[bytes, bytes] | None:
    """Splits a network into encoder and decoder, each as an ONNX file in memory.

    The encoder's output is the decoder's first input; the number of the speaker is its second where
    it needs one. Returns None for a network without such a decoder.
    """
    nodes = {name: node for node in model.graph.node for name in node.output}
    plan = _plan(model.graph, nodes)
    if plan is None:
        return None
    inputs = {one.name for one in model.graph.input}
    outputs = [one.name for one in model.graph.output][:1]
    needed = _inputs_needed(outputs[0], plan, nodes, inputs)
    if not needed <= {_SPEAKER}:
        return None  # part of the encoder's work is used by the decoder in another way
    model.graph.value_info.append(
        onnx.helper.make_tensor_value_info(plan, onnx.TensorProto.FLOAT, [1, None, None])
    )
    halves = Extractor(model)
    encoder = halves.extract_model(sorted(inputs), [plan])
    decoder = halves.extract_model([plan, *needed], outputs)
    return encoder.SerializeToString(), decoder.SerializeToString()


def _plan(graph: onnx.GraphProto, nodes: dict[str, onnx.NodeProto]) -> str | None:
    """Returns the name of what the convolution before the first upsampling takes."""
    upsampling = next((node for node in graph.node if node.op_type == "ConvTranspose"), None)
    waiting = [upsampling.input[0]] if upsampling else []
    while waiting:
        node = nodes.get(waiting.pop())
        if node is None:
            continue
        if node.op_type == "Conv" and _width(node) > 1:  # the one for the speaker has width 1
            return str(node.input[0])
        if node.op_type in _BETWEEN:
            waiting.extend(node.input)
    return None


def _width(convolution: onnx.NodeProto) -> int:
    shapes = [one.ints for one in convolution.attribute if one.name == "kernel_shape"]
    return int(shapes[0][0]) if shapes else 0


def _inputs_needed(
    output: str, plan: str, nodes: dict[str, onnx.NodeProto], inputs: set[str]
) -> set[str]:
    """Returns the inputs of the network that its output needs besides the plan."""
    seen = {plan}
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(nodes[name].input if name in nodes else ())
    return seen & inputs


def decode_in_pieces(plan: Plan, decode: Callable[[Plan], Samples]) -> Iterator[Samples]:
    """Yields the sound of a plan: a short piece first, then longer ones, each when it is asked for.

    The pieces joined are what `decode` makes of the whole plan.
    """
    frames = plan.shape[2]
    start, length = 0, _FIRST
    while start < frames:
        end = min(start + length, frames)
        left = max(start - OVERLAP, 0)
        sound = decode(plan[:, :, left : end + OVERLAP])
        per_frame = len(sound) // (min(end + OVERLAP, frames) - left)
        yield sound[(start - left) * per_frame : (end - left) * per_frame]
        start, length = end, min(2 * length, _LONGEST)
