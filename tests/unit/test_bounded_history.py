"""Tests which part of a conversation goes to the model."""

from livekit.agents import llm

from agent.history import bounded


def conversation(turns: int, length: int = 100) -> llm.ChatContext:
    """Returns instructions and so many turns, each with a question, a tool call and an answer."""
    context = llm.ChatContext()
    context.add_message(role="system", content="Be brief.")
    for turn in range(turns):
        context.add_message(role="user", content=f"{turn:0{length}}")
        call = llm.FunctionCall(call_id=f"call-{turn}", name="get_time", arguments="{}")
        context.items.append(call)
        context.items.append(
            llm.FunctionCallOutput(
                call_id=call.call_id, name="get_time", output="noon", is_error=False
            )
        )
        context.add_message(role="assistant", content=f"answer {turn}")
    return context


def test_a_short_history_goes_as_it_is() -> None:
    context = conversation(3)
    assert bounded(context, 1000) is context
    assert bounded(context, 0) is context


def test_instructions_stay_and_each_call_keeps_its_result() -> None:
    context = conversation(50)
    items = bounded(context, 500).items
    assert isinstance(items[0], llm.ChatMessage)
    assert items[0].role == "system"
    assert isinstance(items[1], llm.ChatMessage)
    assert items[1].role == "user"
    assert items[-1] is context.items[-1]
    calls = [item.call_id for item in items if isinstance(item, llm.FunctionCall)]
    results = [item.call_id for item in items if isinstance(item, llm.FunctionCallOutput)]
    assert calls == results == [f"call-{turn}" for turn in range(46, 50)]
    assert len(context.items) == 201


def test_the_last_turn_stays_however_long_it_is() -> None:
    items = bounded(conversation(3, length=5000), 100).items
    assert [type(item).__name__ for item in items] == [
        "ChatMessage", "ChatMessage", "FunctionCall", "FunctionCallOutput", "ChatMessage",
    ]  # fmt: skip
