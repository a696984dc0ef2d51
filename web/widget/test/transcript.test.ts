import { expect, test } from "vitest";

import { answered, delivered, hear, MAX_MESSAGES, type Messages, nextPending, type Reply, settle, type } from "../src/transcript";

const REPLY: Reply = { connection: "local", model: "tiny", firstWordMs: 212, tookOverFrom: [], lastResort: false };

function said(id: string, who: "caller" | "agent", text: string, final = true) {
  return { id, who, text, final } as const;
}

function texts(messages: Messages): string[] {
  return messages.map((message) => message.text);
}

test("partials of one segment become one message", () => {
  let messages = hear([], said("a", "caller", "hello", false));
  messages = hear(messages, said("a", "caller", "hello there", false));
  messages = hear(messages, said("a", "caller", "Hello there."));
  expect(messages).toHaveLength(1);
  expect(messages[0]).toMatchObject({ text: "Hello there.", final: true });
});

test("a partial that arrives after its final changes nothing", () => {
  const messages = hear([], said("a", "caller", "Hello there."));
  expect(hear(messages, said("a", "caller", "hello", false))).toBe(messages);
});

test("silence leaves no message", () => {
  expect(hear([], said("a", "agent", " ", false))).toEqual([]);
  expect(hear([], said("a", "agent", ""))).toEqual([]);
});

test("a partial that turns out to be nothing is taken back", () => {
  const messages = hear([], said("a", "caller", "uh", false));
  expect(hear(messages, said("a", "caller", ""))).toEqual([]);
});

test("messages stand in the order in which they began", () => {
  let messages = hear([], said("question", "caller", "what time", false));
  messages = hear(messages, said("answer", "agent", "We", false));
  messages = hear(messages, said("question", "caller", "What time is it?"));
  expect(texts(messages)).toEqual(["What time is it?", "We"]);
});

test("what is typed waits, oldest first, until it is delivered", () => {
  let messages = type(type([], "one", "first"), "two", "second");
  expect(nextPending(messages)?.text).toBe("first");
  messages = delivered(messages, "one");
  expect(nextPending(messages)?.text).toBe("second");
  expect(nextPending(delivered(messages, "two"))).toBeUndefined();
});

test("the note goes to the last answer without one", () => {
  let messages = hear([], said("greeting", "agent", "Hello."));
  messages = hear(messages, said("question", "caller", "And you?"));
  messages = answered(hear(messages, said("answer", "agent", "Fine.")), REPLY);
  expect(messages.map((message) => message.reply)).toEqual([null, null, REPLY]);
});

test("a second note never replaces the first", () => {
  const other = { ...REPLY, connection: "other" };
  const messages = answered(hear([], said("answer", "agent", "Fine.")), REPLY);
  expect(answered(messages, other)).toBe(messages);
});

test("a caller's words never carry a note", () => {
  const messages = hear([], said("question", "caller", "And you?"));
  expect(answered(messages, REPLY)).toBe(messages);
});

test("when the call ends, what was half heard stays as it is", () => {
  const messages = settle(hear([], said("a", "agent", "I was just", false)));
  expect(messages[0]).toMatchObject({ text: "I was just", final: true });
});

test("a change leaves the earlier messages untouched", () => {
  const before = hear([], said("a", "caller", "hello", false));
  hear(before, said("a", "caller", "hello there", false));
  expect(texts(before)).toEqual(["hello"]);
});

test("the oldest messages are forgotten", () => {
  let messages: Messages = [];
  for (let n = 0; n <= MAX_MESSAGES; n += 1) messages = hear(messages, said(`m${n}`, "agent", `line ${n}`));
  expect(messages).toHaveLength(MAX_MESSAGES);
  expect(messages[0]?.text).toBe("line 1");
});
