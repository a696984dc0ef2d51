import { expect, test } from "vitest";

import {
  addLine,
  addReply,
  addSegment,
  addTyped,
  finalize,
  markSent,
  MAX_MESSAGES,
  type Messages,
  nextPending,
  type Reply,
} from "../src/transcript";

const REPLY: Reply = { connection: "local", model: "tiny", firstWordMs: 212, firstWordFrom: "local", tookOverFrom: [], lastResort: false };

function speech(id: string, who: "caller" | "agent", text: string, final = true) {
  return { id, who, text, final } as const;
}

function texts(messages: Messages): string[] {
  return messages.map((message) => message.text);
}

test("partials of one segment become one message", () => {
  let messages = addSegment([], speech("a", "caller", "hello", false));
  messages = addSegment(messages, speech("a", "caller", "hello there", false));
  messages = addSegment(messages, speech("a", "caller", "Hello there."));
  expect(messages).toHaveLength(1);
  expect(messages[0]).toMatchObject({ text: "Hello there.", final: true });
});

test("a partial that arrives after its final changes nothing", () => {
  const messages = addSegment([], speech("a", "caller", "Hello there."));
  expect(addSegment(messages, speech("a", "caller", "hello", false))).toBe(messages);
});

test("silence leaves no message", () => {
  expect(addSegment([], speech("a", "agent", " ", false))).toEqual([]);
  expect(addSegment([], speech("a", "agent", ""))).toEqual([]);
});

test("a partial whose final is empty is removed", () => {
  const messages = addSegment([], speech("a", "caller", "uh", false));
  expect(addSegment(messages, speech("a", "caller", ""))).toEqual([]);
});

test("messages are in the order in which they began", () => {
  let messages = addSegment([], speech("question", "caller", "what time", false));
  messages = addSegment(messages, speech("answer", "agent", "We", false));
  messages = addSegment(messages, speech("question", "caller", "What time is it?"));
  expect(texts(messages)).toEqual(["What time is it?", "We"]);
});

test("typed messages wait, oldest first, until they are sent", () => {
  let messages = addTyped(addTyped([], "one", "first"), "two", "second");
  expect(nextPending(messages)?.text).toBe("first");
  messages = markSent(messages, "one");
  expect(nextPending(messages)?.text).toBe("second");
  expect(nextPending(markSent(messages, "two"))).toBeUndefined();
});

test("the note goes to the last answer without one", () => {
  let messages = addSegment([], speech("greeting", "agent", "Hello."));
  messages = addSegment(messages, speech("question", "caller", "And you?"));
  messages = addReply(addSegment(messages, speech("answer", "agent", "Fine.")), REPLY);
  expect(messages.map((message) => message.reply)).toEqual([null, null, REPLY]);
});

test("a second note never replaces the first", () => {
  const other = { ...REPLY, connection: "other" };
  const messages = addReply(addSegment([], speech("answer", "agent", "Fine.")), REPLY);
  expect(addReply(messages, other)).toBe(messages);
});

test("a caller's words never carry a note", () => {
  const messages = addSegment([], speech("question", "caller", "And you?"));
  expect(addReply(messages, REPLY)).toBe(messages);
});

test("a line is drawn below what was said and above the messages that wait", () => {
  const said = addSegment([], speech("answer", "agent", "Fine."));
  const waiting = addTyped(said, "one", "hello");
  expect(texts(addLine(waiting, "line-1", "New call"))).toEqual(["Fine.", "New call", "hello"]);
});

test("no line is drawn above everything, nor a second one where nothing was said since", () => {
  const waiting = addTyped([], "one", "hello");
  expect(addLine(waiting, "line-1", "New call")).toBe(waiting);
  const drawn = addLine(addSegment([], speech("answer", "agent", "Fine.")), "line-1", "New call");
  expect(addLine(drawn, "line-2", "New call")).toBe(drawn);
});

test("a note never goes to an answer above the last line", () => {
  const said = addSegment([], speech("answer", "agent", "Fine."));
  const drawn = addLine(said, "line-1", "New call");
  expect(addReply(drawn, REPLY)).toBe(drawn);
});

test("when the call ends, a partial becomes final", () => {
  const messages = finalize(addSegment([], speech("a", "agent", "I was just", false)));
  expect(messages[0]).toMatchObject({ text: "I was just", final: true });
});

test("a change leaves the earlier messages untouched", () => {
  const before = addSegment([], speech("a", "caller", "hello", false));
  addSegment(before, speech("a", "caller", "hello there", false));
  expect(texts(before)).toEqual(["hello"]);
});

test("the oldest messages are dropped", () => {
  let messages: Messages = [];
  for (let n = 0; n <= MAX_MESSAGES; n += 1) messages = addSegment(messages, speech(`m${n}`, "agent", `line ${n}`));
  expect(messages).toHaveLength(MAX_MESSAGES);
  expect(messages[0]?.text).toBe("line 1");
});

test("what the agent says before it has a typed message stands above that", () => {
  let messages = addTyped([], "b", "Do you have tea?");
  messages = addSegment(messages, speech("a", "agent", "Hello!"));
  expect(texts(messages)).toEqual(["Hello!", "Do you have tea?"]);
  messages = addSegment(markSent(messages, "b"), speech("c", "agent", "Yes."));
  expect(texts(messages)).toEqual(["Hello!", "Do you have tea?", "Yes."]);
});
