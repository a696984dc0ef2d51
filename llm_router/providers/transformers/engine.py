"""Runs a causal language model of Hugging Face's; the only module that imports torch.

It is imported in the thread that loads a model, since the import takes seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers

from llm_router.errors import StatusError


class TorchEngine:
    """Implements Engine (`text.py`)."""

    def __init__(self, name: str, device: str | None, dtype: str | None) -> None:
        transformers.utils.logging.disable_progress_bar()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype or "auto")
        except OSError as error:  # no such folder or model, or the hub cannot be reached
            raise StatusError(404, code="model_not_found", detail=str(error)) from error
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self.context_length = getattr(model.config, "max_position_embeddings", None)
        ends = self._model.generation_config.eos_token_id
        self.end_tokens = frozenset(ends if isinstance(ends, list) else [ends])
        self._padding = self._tokenizer.pad_token_id
        if self._padding is None:
            self._padding = next((end for end in self.end_tokens if end is not None), 0)

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, continues: bool
    ) -> str | None:
        if not self._tokenizer.chat_template:
            return None
        return str(
            self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=not continues,
                continue_final_message=continues,
                enable_thinking=False,  # templates without this switch ignore it
            )
        )

    def encode(self, prompt: str, *, has_special_tokens: bool) -> list[int]:
        return list(self._tokenizer(prompt, add_special_tokens=not has_special_tokens).input_ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def generate(
        self, prompt: Sequence[int], options: Mapping[str, Any], on_token: Callable[[int], bool]
    ) -> None:
        seed = options.get("seed")
        if seed is not None:
            torch.manual_seed(seed)
        tokens = torch.tensor([list(prompt)], device=self._device)
        try:
            with torch.inference_mode():
                self._model.generate(
                    tokens,
                    attention_mask=torch.ones_like(tokens),
                    pad_token_id=self._padding,
                    stopping_criteria=[_TokenCallback(on_token)],
                    **{name: value for name, value in options.items() if name != "seed"},
                )
        except torch.OutOfMemoryError as error:
            raise StatusError(503, code="out_of_memory", detail="overloaded") from error


class _TokenCallback(transformers.StoppingCriteria):  # type: ignore[misc]  # of a package that need not be installed
    """Passes every token to `on_token`, and stops generating when that returns False."""

    def __init__(self, on_token: Callable[[int], bool]) -> None:
        self._on_token = on_token

    def __call__(self, tokens: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002  its signature
        continues = self._on_token(int(tokens[0, -1]))
        return torch.full((tokens.shape[0],), not continues, device=tokens.device)
