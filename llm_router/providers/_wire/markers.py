"""Lists the marks that models and chat templates write around what is not for people.

A row says what a mark begins and which texts end that. Most rows come from the models' chat
templates and from the parsers of vLLM, SGLang and llama.cpp; some from public reports of what
reached people's screens and ears. Marks that only enclose an answer are tokens: the words inside
them are words.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from string import ascii_letters


class Kind(Enum):
    """The kind of text that a mark begins."""

    THOUGHT = auto()
    """Reasoning."""
    CALL = auto()
    """A tool call written as text."""
    HEADER = auto()
    """The name of a role or channel, which decides what the text after it is."""
    NOISE = auto()
    """Text of neither the model nor for a person, such as a tool's result that it made up."""
    TOKEN = auto()
    """Nothing: only the mark itself is no word."""
    LAST_TOKEN = auto()
    """The same, where nothing follows it."""
    THOUGHT_END = auto()
    """Words, if its beginning is missing."""
    BARE_CALL = auto()
    """A tool call, if that is what stands in the brackets; else words."""
    CODE = auto()
    """Words in which no mark is one."""
    TURN_END = auto()
    """The end of the reply: what a model writes after it is the next turn, made up."""


@dataclass(frozen=True, slots=True)
class Marker:
    opening: str
    kind: Kind
    ends: tuple[str, ...] = ()
    """No end: the end of the reply."""
    body_ends: tuple[str, ...] = ()
    """Of a HEADER: what ends the text that it describes."""
    is_for_voices: bool = False
    """Whether it may stand in a text for reading, as HTML does."""


_THOUGHT_TAGS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reason", "analysis", "reflection"),
    *("scratchpad", "inner_monologue", "internal_monologue", "monologue", "chain_of_thought"),
    *("reasoning_content", "think_never_used_51bce0c785ca2f68081bfa7d91973934"),  # Doubao
    *("thinking_process", "thought_process", "antthinking", "ant_thinking", "cot", "mm:think"),
    *("seed:think", "seed:cot_budget_reflect", "longcat_think", "minimax:think"),
)
_THOUGHT_TAGS_OF_PROMPTS = (
    *("internal", "internal_thought", "internal_thoughts", "inner_thought", "inner_thoughts"),
    *("internal_reasoning", "plan", "planning", "deliberation", "self_reflection"),
)
_TAG_ENDS = tuple(f"</{tag}>" for tag in _THOUGHT_TAGS)
_CALLS_WITHOUT_END_OF_THOUGHT = (
    *("<tool_call>\n", "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>", "<|python_tag|>"),
    *("<minimax:tool_call>", "<seed:tool_call>"),
)
"""Tool calls that models begin without having ended their thought."""
_TAG_THOUGHT_ENDS = (*_TAG_ENDS, *_CALLS_WITHOUT_END_OF_THOUGHT)

_OTHER_THOUGHTS = {
    "[THINK]": ("[/THINK]",),  # Mistral
    "◁think▷": ("◁/think▷",),  # Kimi-VL
    "<|think|>": ("<|/think|>", "<|end_think|>", "</think>"),
    "<|thinking|>": ("<|/thinking|>", "<|end_thinking|>"),
    "<|thinking_start|>": ("<|thinking_end|>",),
    "<unused94>": ("<unused95>",),  # MedGemma
    "<|begin_of_thought|>": ("<|end_of_thought|>",),  # Sky-T1, OpenThinker
    "<|START_THINKING|>": ("<|END_THINKING|>",),  # Cohere
    "<|inner_prefix|>": ("<|inner_suffix|>",),  # Apertus
    "<｜think｜>": ("<｜/think｜>", "</think>"),
    "[thinking]": ("[/thinking]",),
    "[reasoning]": ("[/reasoning]",),
    '<details type="reasoning"': ("</details>",),  # Open WebUI
}

_DSML = {
    f"<{bar}DSML{bar}{name}": (f"</{bar}DSML{bar}{name.removesuffix(' name=').rstrip('>')}>",)
    for bar in ("｜", "|", "｜｜")
    for name in ("function_calls>", "tool_calls>", "invoke name=")
}
_ANTHROPIC = "antml:"
"""The prefix of the tags in which Anthropic's models write calls, which some servers leave."""
_CALLS = {
    **{
        f"<{_ANTHROPIC}{name}": (f"</{_ANTHROPIC}{name.split()[0].rstrip('>')}>",)
        for name in ("function_calls>", "invoke name=")
    },
    "<tool_call>": ("</tool_call>",),  # Hermes, Qwen, GLM, Hunyuan
    "<tool_calls>": ("</tool_calls>",),  # Jamba, MiniMax, Hunyuan
    "<toolcall>": ("</toolcall>",),  # Nemotron
    "<toolcalls>": ("</toolcalls>",),
    "<tool_use>": ("</tool_use>",),
    "<tool_code>": ("</tool_code>",),
    "<tools>": ("</tools>",),  # Qwen 2.5 Coder
    "<function_call>": ("</function_call>",),
    "<functioncall>": ("</functioncall>",),
    "<function_calls>": ("</function_calls>",),  # Anthropic's form, Olmo
    "<function=": ("</function>", "<function>"),  # Llama, Qwen 3 Coder without the tag around it
    "<function(": ("</function>",),
    "<function name=": ("</function>",),  # MiniCPM
    "<invoke name=": ("</invoke>",),
    "<minimax:tool_call>": ("</minimax:tool_call>",),
    "<seed:tool_call>": ("</seed:tool_call>",),
    "<longcat_tool_call>": ("</longcat_tool_call>",),
    "<execute_tool>": ("</execute_tool>",),
    "<xai:function_call": ("</xai:function_call>",),  # Grok
    "<use_mcp_tool>": ("</use_mcp_tool>",),  # Cline
    "<tool name=": ("</tool>",),
    "<steptml:invoke name=": ("</steptml:invoke>",),
    "<start_function_call>": ("<end_function_call>",),  # FunctionGemma
    "<|tool_call>": ("<tool_call|>",),  # Gemma 4
    "<|tool_call|>": ("<|/tool_call|>",),  # Phi, Granite
    "<|tool_calls|>": ("<|/tool_calls|>",),
    "<|tool_call_start|>": ("<|tool_call_end|>",),  # LFM2
    "<|tool_calls_section_begin|>": ("<|tool_calls_section_end|>",),  # Kimi
    "<|tool_call_begin|>": ("<|tool_call_end|>",),
    "<|tool_call:begin|>": ("<|tool_call:end|>",),  # Solar
    "<|tools_prefix|>": ("<|tools_suffix|>",),  # Apertus
    "<|START_ACTION|>": ("<|END_ACTION|>",),  # Cohere
    "<|action_start|>": ("<|action_end|>",),  # InternLM
    "<|open|>toolscall": ("toolsmessage<|sep|>",),  # Kimi K3
    "<｜tool▁calls▁begin｜>": ("<｜tool▁calls▁end｜>",),  # DeepSeek
    "<｜tool▁call▁begin｜>": ("<｜tool▁call▁end｜>",),
    "<｜tool_calls_begin｜>": ("<｜tool_calls_end｜>",),  # Step
    **_DSML,  # DeepSeek 3.2
    "<|tool▁calls▁begin|>": ("<|tool▁calls▁end|>",),
    "<|tool▁call▁begin|>": ("<|tool▁call▁end|>",),
    "<|message_sep|>\n\nfunction call<|role_sep|>": ("<|message_sep|>",),  # GigaChat
    "<|python_tag|>": (),  # Llama
    "<|function_call|>": (),
    "[TOOL_CALLS]": ("</s>",),  # Mistral
    "[TOOL_CALL]": ("[/TOOL_CALL]",),
    "[TOOL_REQUEST]": ("[END_TOOL_REQUEST]",),  # LM Studio
    "✿FUNCTION✿": ("✿RESULT✿", "✿RETURN✿"),  # Qwen-Agent
    "```tool_code": ("```",),  # Gemma 3
    "```tool_call": ("```",),
    "```tool_calls": ("```",),
    "```function_call": ("```",),
    "assistantcommentary to=functions.": (),
    "=functions.": (),  # OpenAI's channels without their tokens
}

_MESSAGE_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>")
_TURN = ("<|im_end|>", "<|im_start|>")
_HEADERS = {
    "<|start|>": (("<|message|>",), _MESSAGE_ENDS),  # gpt-oss
    "<|channel|>": (("<|message|>",), _MESSAGE_ENDS),
    "<|channel>": (("\n", "<channel|>"), ("<channel|>",)),  # Gemma 4
    "<|im_start|>": (("\n", "<|im_sep|>"), _TURN),
    "<|header_start|>": (("<|header_end|>",), ("<|eot|>",)),  # Llama 4
    "<|start_header_id|>": (("<|end_header_id|>",), ("<|eot_id|>",)),
    "<|start_of_role|>": (("<|end_of_role|>",), ("<|end_of_text|>",)),
    "<start_of_turn>": (("\n",), ("<end_of_turn>",)),
    "<|turn>": (("\n",), ("<turn|>",)),
}

_NOISE = {
    "<tool_response>": ("</tool_response>",),
    "<tool_responses>": ("</tool_responses>",),
    "<tool_result>": ("</tool_result>",),
    "<function_results>": ("</function_results>",),
    "<|tool_response>": ("<tool_response|>",),
    "<｜tool▁outputs▁begin｜>": ("<｜tool▁outputs▁end｜>",),
    "[TOOL_RESULTS]": ("[/TOOL_RESULTS]",),
    "<start_function_response>": ("<end_function_response>",),
    "<grok:render": ("</grok:render>",),
    "\ue200": ("\ue201",),  # OpenAI's citations
    "[INST]": (),
    "<|user|>": (),
    "<|User|>": (),
    "<|system|>": (),
    "<|observation|>": (),
    "<｜User｜>": (),
    "<|USER_TOKEN|>": (),
    "<role>HUMAN</role>": (),
}

_TOKENS = (
    *("<eos>", "<bos>", "<pad>", "<unk>", "[/INST]", "[EOS]", "[BOS]", "[end of text]"),
    *("<<SYS>>", "<</SYS>>", "<end_of_utterance>", "<|end|>", "<sep>"),
    *("<role>ASSISTANT</role>", "<｜DSML｜", "</｜DSML｜", "✿RETURN✿", "✿RESULT✿"),
    *("</tool_call>", "</tool_calls>", "</function>", "</invoke>", "</function_calls>"),
    *("]<]minimax[>[", "[|endofturn|]", "<EOT>", "<extra_id_0>", "[gMASK]", "<sop>"),
    *("[END FINAL RESPONSE]", "</execute_tool>"),
    *("</parameter>", "</tool_response>", "</tool_code>", "</minimax:tool_call>"),
)
_TURN_ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|return|>", "<|eom_id|>"),
    *("<｜end▁of▁sentence｜>", "<|end of sentence|>", "<turn|>", "<|END_OF_TURN_TOKEN|>"),
    *("<|end_of_sentence|>", "<|end_of_turn|>", "<|endofturn|>", "<|eos|>", "<end_of_turn>"),
)
_AROUND_ANSWERS = (
    "assistant",
    "answer",
    "response",
    "final_answer",
    "final",
    "output",
    "reply",
    "s",
    "speak",
)

MARKERS: tuple[Marker, ...] = (
    *(Marker(f"<{tag}>", Kind.THOUGHT, _TAG_THOUGHT_ENDS) for tag in _THOUGHT_TAGS),
    *(
        Marker(f"<{tag}>", Kind.THOUGHT, (f"</{tag}>",), is_for_voices=True)
        for tag in _THOUGHT_TAGS_OF_PROMPTS
    ),
    *(Marker(opening, Kind.THOUGHT, ends) for opening, ends in _OTHER_THOUGHTS.items()),
    *(Marker(opening, Kind.CALL, ends) for opening, ends in _CALLS.items()),
    *(Marker(opening, Kind.HEADER, *ends) for opening, ends in _HEADERS.items()),
    *(Marker(opening, Kind.NOISE, ends) for opening, ends in _NOISE.items()),
    *(Marker(token, Kind.TOKEN) for token in _TOKENS),
    *(Marker(token, Kind.TURN_END) for token in _TURN_ENDS),
    *(Marker(end, Kind.THOUGHT_END) for end in _TAG_ENDS),
    *(Marker(e, Kind.THOUGHT_END) for ends in _OTHER_THOUGHTS.values() for e in ends),
    Marker("</s>", Kind.LAST_TOKEN),  # and HTML's
    *(Marker(f"<{t}>", Kind.TOKEN, is_for_voices=True) for t in _AROUND_ANSWERS),
    *(Marker(f"</{t}>", Kind.TOKEN, is_for_voices=True) for t in _AROUND_ANSWERS),
)

LOST_BEGINNING = Marker("", Kind.THOUGHT, _TAG_THOUGHT_ENDS)
"""Reasoning whose opening tag the chat template has written into the prompt."""

_GRANITE_ENDS = ("Here is my response:", "Here's my response:")
_CHANNELS_BARE = ("assistantfinal", "assistantcommentary to=functions.")
_APRIEL_ENDS = ("[BEGIN FINAL RESPONSE]",)
AT_START: tuple[Marker, ...] = (
    Marker("Here is my thought process:", Kind.THOUGHT, _GRANITE_ENDS),
    Marker("Here's my thought process:", Kind.THOUGHT, _GRANITE_ENDS),
    Marker("Here are my reasoning steps:", Kind.THOUGHT, _APRIEL_ENDS),
    *(Marker(f"analysis{c}", Kind.THOUGHT, _CHANNELS_BARE) for c in ascii_letters),
    Marker("assistantanalysis", Kind.THOUGHT, _CHANNELS_BARE),
    Marker("assistantfinal", Kind.TOKEN),
    Marker("assistant\n\n", Kind.TOKEN),
    Marker("to=functions.", Kind.CALL),
    Marker("commentary to=functions.", Kind.CALL),
    Marker("assistant to=functions.", Kind.CALL),
    Marker("assistantcommentary to=functions.", Kind.CALL),
    Marker("default_api.", Kind.BARE_CALL),  # Gemini
    Marker("print(default_api.", Kind.BARE_CALL),
    Marker("functools[", Kind.CALL),  # Phi
    Marker("function call<|role_sep|>", Kind.CALL),  # GigaChat
    Marker(">>>all\n", Kind.TOKEN),  # Functionary
)
"""Marks only where the reply begins. `analysis…assistantfinal` are gpt-oss's channels, their
tokens removed."""

OTHER_TOKENS = re.compile(
    r"<\|[^\s<>|]{1,48}\|?>|<[a-z_]{1,32}\|>|<｜[^<>｜\n]{1,64}｜>|【\d+(?::\d+)?†[^】\n]{0,64}】|"
    r"<(?:unused|extra_id_|dummy|ctrl|reserved_?)\d{1,5}>|<0x[0-9a-f]{2}>|\[UNUSED_TOKEN_\d{1,4}\]",
    re.IGNORECASE,
)
"""Tokens of models that no row names."""
BEGINS_OTHER_TOKEN = re.compile(
    r"<(?:\|[^\s<>|]{0,48}\|?|[a-z_]{1,32}(?:\|?|\d{1,5})|0(?:x[0-9a-f]{0,2})?|｜[^<>｜\n]{0,64}｜?)?"
    r"|\[(?:[UNSEDTOK_]{0,13}|UNUSED_TOKEN_\d{1,4})"
    r"|【(?:\d+(?::\d*)?(?:†[^】\n]{0,64})?)?",
    re.IGNORECASE,
)
CUT_TOKEN = re.compile(r"<\|[a-z_]{2,32}\|?", re.IGNORECASE)
"""A token that a stop sequence has cut, where the reply ends in it."""

_CALL_KEYS = (
    *("name", "function", "function_name", "tool_name", "tool", "tool_calls", "tool_call"),
    *("function_call", "tool_uses", "arguments", "parameters", "action", "recipient_name"),
)
CALL_HEADS = (
    *(f'{{"{key}":' for key in _CALL_KEYS),
    *('{"type":"function"', '{"id":"call', '{"role":"assistant"'),
)
"""How a tool call begins that a model writes as bare JSON, white space removed."""
