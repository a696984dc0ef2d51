"""Opens ONNX networks for the models of the speech process."""

from typing import Any

import onnxruntime  # type: ignore[import-untyped]  # ships no types


def open_network(network: bytes | str, *, threads: int) -> Any:
    """Opens a network, from memory or by its path, on so many processor threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that waits for another lets other calls have the processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
