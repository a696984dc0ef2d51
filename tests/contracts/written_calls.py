"""Tool calls as models write them into their words: each calls get_weather for Oslo."""

import re

CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
PARAMETERS = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
ARGUMENTS = '{"city": "Oslo"}'
XML = "<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>"
INVOKE = '<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n</invoke>'
DSML = (
    '<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo'
    "</｜DSML｜parameter>\n</｜DSML｜invoke>"
)
DSML_CALLS = f"<｜DSML｜function_calls>\n{DSML}\n</｜DSML｜function_calls>"
TAGGED = '<invoke name="get_weather"><city>Oslo</city></invoke>'
PREFIXED = re.sub("<(/?)", r"<\1antml:", f"<function_calls>\n{INVOKE}\n</function_calls>")
KEYED = "get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n"

MARKED = {
    "Hermes, Qwen": f"<tool_call>\n{CALL}\n</tool_call>",
    "Hermes, the end missing": f"<tool_call>\n{CALL}",
    "Hermes, a brace missing": f"<tool_call>\n{CALL[:-1]}\n</tool_call>",
    "Hermes, an end of turn behind": f"<tool_call>{CALL}</tool_call><|im_end|>",
    "Hermes in Python's quotes": f"<tool_call>{CALL.replace(chr(34), chr(39))}</tool_call>",
    "Qwen, inside its thought": f"<think>I need it.\n<tool_call>\n{CALL}\n</tool_call>",
    "Qwen 3 Coder": f"<tool_call>\n{XML}\n</tool_call>",
    "Qwen 3 Coder, the beginning missing": f"{XML}\n</tool_call>",
    "Qwen 2.5 Coder": f"<tools>\n{CALL}\n</tools>",
    "Qwen-Agent": f"✿FUNCTION✿: get_weather\n✿ARGS✿: {ARGUMENTS}\n✿RESULT✿",
    "Llama 3": f"<|python_tag|>{PARAMETERS}<|eom_id|>",
    "Llama 3, its own tools": '<|python_tag|>get_weather.call(city="Oslo")',
    "Llama 3, bare": PARAMETERS,
    "Llama 3, bare, with a type": PARAMETERS.replace("{", '{"type": "function", ', 1),
    "Llama 3 on Groq": f"<function=get_weather>{ARGUMENTS}</function>",
    "Llama 3 on Groq, no bracket": f"<function=get_weather{ARGUMENTS}</function>",
    "Llama 3 on Groq, the bracket late": f"<function=get_weather {ARGUMENTS}></function>",
    "Llama 3 on Groq, round": f"<function(get_weather){ARGUMENTS}</function>",
    "Llama 4": '[get_weather(city="Oslo")]',
    "OpenAI's form": '{"tool_calls": [{"id": "c1", "type": "function", "function": '
    '{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}]}',
    "Mistral": f"[TOOL_CALLS][{CALL}]",
    "Mistral, newer": f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}",
    "Mistral, with an id": f"[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{ARGUMENTS}</s>",
    "DeepSeek 3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
    f"```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "DeepSeek 3.1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
    f"{ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>",
    "DeepSeek 3.2": DSML_CALLS,
    "gpt-oss": "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    f"{ARGUMENTS}<|call|>",
    "gpt-oss, after its thought": "<|channel|>analysis<|message|>Need it.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    f"{ARGUMENTS}<|call|>",
    "gpt-oss, the tool first": "<|start|>assistant to=functions.get_weather<|channel|>commentary "
    f"json<|message|>{ARGUMENTS}",
    "Gemma 3": '```tool_code\nprint(get_weather(city="Oslo"))\n```',
    "Gemma 4": '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>}<tool_call|>',
    "FunctionGemma": "<start_function_call>call:get_weather{city:<escape>Oslo<escape>}"
    "<end_function_call>",
    "Phi": f"<|tool_call|>[{CALL}]<|/tool_call|>",
    "Granite": f"<|tool_call|>[{CALL}]",
    "GLM 4.5": f"<tool_call>{KEYED}</tool_call>",
    "Hunyuan": "<tool_calls><tool_call>get_weather<tool_sep>\n<arg_key>city</arg_key>"
    "<arg_value>Oslo</arg_value></tool_call></tool_calls>",
    "MiniMax M1": f"<tool_calls>\n{CALL}\n</tool_calls>",
    "MiniMax M2": f"<minimax:tool_call>\n{INVOKE}\n</minimax:tool_call>",
    "MiniCPM": '<function name="get_weather"><param name="city">Oslo</param></function>',
    "Kimi K2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
    f"<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>",
    "Kimi K3": '<|open|>toolscall tool="get_weather" index="1"<|sep|><|open|>argument key="city" '
    'type="string"<|sep|>Oslo<|close|>argument<|sep|><|close|>call<|sep|><|close|>toolsmessage<|sep|>',
    "Anthropic's form": f"<function_calls>\n{INVOKE}\n</function_calls>",
    "Anthropic's form, no tag around it": INVOKE,
    "Olmo": '<function_calls>\nget_weather(city="Oslo")\n</function_calls>',
    "LFM2": '<|tool_call_start|>[get_weather(city="Oslo")]<|tool_call_end|>',
    "Nemotron": f"<TOOLCALL>[{CALL}]</TOOLCALL>",
    "Jamba": f"<tool_calls>[\n{CALL}\n]</tool_calls>",
    "InternLM": f"<|action_start|><|plugin|>\n{PARAMETERS}<|action_end|>",
    "Cohere": '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": '
    '{"city": "Oslo"}}]<|END_ACTION|>',
    "Apertus": f'<|tools_prefix|>[{{"get_weather": {ARGUMENTS}}}]<|tools_suffix|>',
    "Seed": f"<seed:tool_call>\n{XML}\n</seed:tool_call>",
    "Step": "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>"
    '<steptml:invoke name="get_weather"><steptml:parameter name="city">Oslo</steptml:parameter>'
    "</steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>",
    "LongCat": f"<longcat_tool_call>{CALL}</longcat_tool_call>",
    "DeepSeek 3.2, one call alone": DSML,
    "DeepSeek 3.2, its bars doubled": DSML_CALLS.replace("｜", "｜｜"),
    "DeepSeek 3.2, ASCII bars": DSML_CALLS.replace("｜", "|"),
    "DeepSeek 3.1, ASCII bars": "<|tool▁calls▁begin|><|tool▁call▁begin|>get_weather<|tool▁sep|>"
    f"{ARGUMENTS}<|tool▁call▁end|><|tool▁calls▁end|>",
    "MiniMax M3": re.sub("(?=<)", "]<]minimax[>[", f"<tool_call>\n{TAGGED}\n</tool_call>"),
    "Anthropic's form, with its prefix": PREFIXED,
    "Anthropic's form, with its prefix, alone": PREFIXED.partition("\n")[2].rpartition("\n")[0],
    "GigaChat": f"<|message_sep|>\n\nfunction call<|role_sep|>\n{CALL}",
    "GigaChat, older": f"<|function_call|>{CALL}",
    "Step 3.5": '<steptml:invoke name="get_weather"><steptml:parameter name="city">Oslo'
    "</steptml:parameter></steptml:invoke>",
    "Llama 4, with its role": "<|header_start|>assistant<|header_end|>\n\n"
    f"<|python_start|>{CALL}<|python_end|><|eot|>",
    "Cline": "<use_mcp_tool><server_name>x</server_name><tool_name>get_weather</tool_name>"
    f"<arguments>{ARGUMENTS}</arguments></use_mcp_tool>",
    "CodeAct": '<execute_tool>\nget_weather(city="Oslo")\n</execute_tool>',
    "a tag of a tool": f'<tool name="get_weather">{ARGUMENTS}</tool>',
    "FunctionGemma, a result behind": "<start_function_call>call:get_weather{city:<escape>Oslo"
    "<escape>}<end_function_call><start_function_response>",
    "LongCat, keyed": "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n"
    "<longcat_arg_value>Oslo</longcat_arg_value>\n</longcat_tool_call>",
    "Grok": '<xai:function_call name="get_weather"><parameter name="city">Oslo</parameter>'
    "</xai:function_call>",
    "Solar": "<|tool_call:begin|>a1<|tool_call:name|>get_weather<|tool_call:args|>"
    f"{ARGUMENTS}<|tool_call:end|>",
    "in brackets of words": f"[TOOL_CALL]{CALL}[/TOOL_CALL]",
    "a whole message": '{"role": "assistant", "content": null, "tool_calls": [{"function": '
    f"{CALL}}}]}}",
    "its name as the key": f'{{"get_weather": {ARGUMENTS}}}',
    "Python in a fence": '```python\nget_weather(city="Oslo")\n```',
    "Python in a fence, printed": '```py\nprint(get_weather(city="Oslo"))\n```',
    "LM Studio": f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]",
    "Nous, older": '<functioncall> {"name": "get_weather", "arguments": '
    f"'{ARGUMENTS}'}} </functioncall>",
    "attributes": f'<tool_call name="get_weather">{ARGUMENTS}</tool_call>',
    "a tag of its name": "<get_weather>\n<city>Oslo</city>\n</get_weather>",
    "a tag of its name, JSON inside": f"<get_weather>{ARGUMENTS}</get_weather>",
    "a tag a part": "<tool_use><name>get_weather</name>"
    f"<arguments>{ARGUMENTS}</arguments></tool_use>",
    "tags throughout": "<tool_call><name>get_weather</name><parameters><city>Oslo</city>"
    "</parameters></tool_call>",
    "braces of a template": f"<tool_call>{{{CALL}}}</tool_call>",
    "OpenAI's parallel uses": '{"tool_uses": [{"recipient_name": "functions.get_weather", '
    '"parameters": {"city": "Oslo"}}]}',
    "in a fence of tags": f"```xml\n<tool_call>{CALL}</tool_call>\n```",
    "in a fence": f"```json\n{CALL}\n```",
    "in a fence without a language": f"```\n{CALL}\n```",
    "in a list": f"[{CALL}]",
    "the arguments first": '{"arguments": {"city": "Oslo"}, "name": "get_weather"}',
    "inside a function": f'{{"function": {CALL}}}',
    "other keys": '{"action": "get_weather", "action_input": {"city": "Oslo"}}',
}
"""Calls with a mark around them: anywhere in a reply."""

WHOLE = {
    "Phi 4": f"functools[{CALL}]",
    "Command R": f"Action: ```json\n[{CALL}]\n```",
    "Functionary": f">>>get_weather\n{ARGUMENTS}",
    "GigaChat, its separator missing": f"function call<|role_sep|>\n{CALL}<|message_sep|>",
    "GLM 4": f"get_weather\n{ARGUMENTS}",
    "Python": 'get_weather(city="Oslo")',
    "Python, printed": 'print(get_weather(city="Oslo"))',
    "Python, with a namespace": f"functions.get_weather({ARGUMENTS})",
    "Kimi's name and number": f"functions.get_weather:0{ARGUMENTS}",
    "Gemma's words without tokens": 'call:get_weather{city:"Oslo"}',
    "gpt-oss, its role before": f"assistant to=functions.get_weather commentary json {ARGUMENTS}",
    "Python, by place": 'get_weather("Oslo")',
    "Python, with an object": f"get_weather({ARGUMENTS})",
    "Gemini": 'print(default_api.get_weather(city="Oslo"))',
    "an agent's, after its thought": "Thought: I look it up.\nAction: get_weather\n"
    f"Action Input: {ARGUMENTS}",
    "an agent's, as LangChain asks for it": "Thought: I look it up.\nAction:\n```json\n"
    '{"action": "get_weather", "action_input": {"city": "Oslo"}}\n```',
    "an agent's, in a fence without a language": "Thought: I look it up.\nAction:\n```\n"
    '{"action": "get_weather", "action_input": {"city": "Oslo"}}\n```\nObservation: Sunny.',
    "an agent's, as JSON": f"Thought: I look it up.\nAction: {CALL}",
    "an agent's, as JSON on its line": f"Thought: I look it up.\n\nAction:\n[{CALL}]",
    "an agent's, in Python": 'Thought: I look it up.\nAction: get_weather(city="Oslo")',
    "an agent's, in bold": "**Thought:** I look it up.\n\n**Action:** get_weather\n\n"
    f"**Action Input:** {ARGUMENTS}",
    "an agent's, in bold without the colon": "**Thought**: I look it up.\n"
    f"**Action**: `get_weather`\n**Action Input**:\n```json\n{ARGUMENTS}\n```",
    "an agent's, its tool in bold": "Thought: I look it up.\nAction: **get_weather**\n"
    f"Action Input: {ARGUMENTS}",
    "an agent's, its result and next call made up": "Thought: I look it up.\nAction: get_weather"
    f"\nAction Input: {ARGUMENTS}\nObservation: Rain.\nThought: Bye.\nAction: hang_up\n"
    "Action Input: {}\nObservation: Done.\nFinal Answer: Rain.",
    "an agent's in Python, its result made up": 'Action: get_weather(city="Oslo")\n'
    "Observation: Rain.\nFinal Answer: Rain.",
    "an agent's, no thought, a fence": f"Action:\n```json\n{CALL}\n```",
    "an agent's": f"Action: get_weather\nAction Input: {ARGUMENTS}",
    "gpt-oss, no tokens": f"commentary to=functions.get_weather json{ARGUMENTS}",
    "gpt-oss, no tokens, after its thought": "analysisNeed it.assistantcommentary "
    f"to=functions.get_weather json{ARGUMENTS}",
    "OpenAI's channels without tokens": f"to=functions.get_weather 天天中彩票能json\n{ARGUMENTS}цҳ",
}
"""Calls that are recognised only where a reply begins."""
