"""What touches torch, and nothing else does: a causal language model of Hugging Face's.

It is imported in the thread that loads a model, since that takes seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers

from llm_router.errors import StatusError


class TorchEngine:
    """An Engine (see `_transformers_text.py`)."""

    def __init__(self, name: str, device: str | None, dtype: str | None) -> None:
        transformers.utils.logging.disable_progress_bar()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype or "auto")
        except OSError as error:  # no such folder, and no such model on the hub, or no way there
            raise StatusError(404, code="model_not_found", detail=str(error)) from error
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self.context_length = getattr(model.config, "max_position_embeddings", None)
        ends = self._model.generation_config.eos_token_id
        self.ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._padding = self._tokenizer.pad_token_id
        if self._padding is None:
            self._padding = next((end for end in self.ends if end is not None), 0)

    def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, goes_on: bool
    ) -> str | None:
        if not self._tokenizer.chat_template:
            return None
        return str(
            self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
                enable_thinking=False,  # a template that knows no such switch ignores it
            )
        )

    def encode(self, prompt: str, *, has_marks: bool) -> list[int]:
        return list(self._tokenizer(prompt, add_special_tokens=not has_marks).input_ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def generate(
        self, prompt: Sequence[int], options: Mapping[str, Any], each: Callable[[int], bool]
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
                    stopping_criteria=[_Each(each)],
                    **{name: value for name, value in options.items() if name != "seed"},
                )
        except torch.OutOfMemoryError as error:
            raise StatusError(503, code="out_of_memory", detail="overloaded") from error


class _Each(transformers.StoppingCriteria):  # type: ignore[misc]  # of a package that need not be installed
    """Asked after every token whether to stop: there is no better place to read it, too."""

    def __init__(self, each: Callable[[int], bool]) -> None:
        self._each = each

    def __call__(self, tokens: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002  its signature
        goes_on = self._each(int(tokens[0, -1]))
        return torch.full((tokens.shape[0],), not goes_on, device=tokens.device)
