"""Names the type of a tool that a model may call."""

from typing import Any

from livekit.agents.llm import FunctionTool, RawFunctionTool

Tool = FunctionTool[..., Any] | RawFunctionTool[..., Any]
