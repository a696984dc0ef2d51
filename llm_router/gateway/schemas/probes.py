"""Defines probes of a connection as JSON: its test, and the list of its models."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from llm_router.failures import Failure, FailureClass
from llm_router.gateway.schemas.base import StrictModel
from llm_router.management.probe import PROBE_PROMPT, PROBE_TOKENS, ProbeResult


class ConnectionTestCreate(StrictModel):
    """A question; an API key with limits may only ask the usual one."""

    prompt: str = Field(default=PROBE_PROMPT, min_length=1, max_length=4_000)
    max_tokens: int = Field(default=PROBE_TOKENS, ge=1, le=1_024, strict=True)


class FailureRead(BaseModel):
    """The reason why a connection does not work, and the advice for it."""

    kind: FailureClass
    reason: str
    advice: str = Field(description="Empty if there is nothing to do but to wait.")

    @classmethod
    def of(cls, failure: Failure | None) -> "FailureRead | None":
        if failure is None:
            return None
        return cls(kind=failure.kind, reason=failure.explanation, advice=failure.advice)


class ConnectionTestResult(BaseModel):
    """`ok`, or `failure`; the other fields hold what came before a failure."""

    ok: bool
    latency: float = Field(description="Seconds until the answer was whole, or had failed.")
    first_word: float | None = Field(description="Seconds until the first word.")
    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    models: Sequence[str] = Field(description="The models that the server offers, if it lists any.")
    server: str | None = Field(
        default=None,
        description="The server that was recognised; empty: none we know; null: not asked.",
    )
    notice: str = Field(
        default="", description="A hint if the server looks like another one than the record names."
    )
    failure: FailureRead | None = None

    @classmethod
    def of(cls, result: ProbeResult) -> "ConnectionTestResult":
        usage = result.usage
        return cls(
            ok=result.failure is None,
            latency=result.latency,
            first_word=result.first_word,
            text=result.text,
            tokens_in=usage.prompt_tokens if usage else None,
            tokens_out=usage.completion_tokens if usage else None,
            models=result.models,
            server=result.detected.server if result.detected else None,
            notice=result.notice,
            failure=FailureRead.of(result.failure),
        )


class ModelList(BaseModel):
    """The models that the server offers, or why it listed none."""

    models: Sequence[str]
    failure: FailureRead | None = None
