import { expect, test } from "vitest";

import type { Reply } from "../src/transcript";
import { ENGLISH, noticeText, stateText } from "../src/language";
import { modelLine, replyNote } from "../src/operator";
import { trouble } from "../src/words";

function said(...notice: Parameters<typeof trouble>): string {
  return noticeText(trouble(...notice), ENGLISH);
}

const REPLY: Reply = { connection: "vllm-local", model: "tiny", firstWordMs: 212.4, firstWordFrom: "vllm-local", tookOverFrom: [], lastResort: false };

function demo(...names: string[]) {
  return { language: "en", offline: false, responder: false, warnings: [], models: names.map((name) => ({ name, model: "" })) };
}

test("an answer names its connection and its first word", () => {
  expect(replyNote(REPLY)).toBe("vllm-local · first word 212 ms");
});

test("a takeover names every connection that failed", () => {
  const note = replyNote({ ...REPLY, firstWordMs: null, tookOverFrom: ["openai", "groq"] });
  expect(note).toBe("vllm-local · took over from openai and groq");
});

test("the time to a first word is named with the connection whose word it was", () => {
  const note = replyNote({ ...REPLY, connection: "spare", tookOverFrom: ["vllm-local"] });
  expect(note).toBe("spare · first word 212 ms from vllm-local · took over from vllm-local");
});

test("a prepared sentence does not pass for a model's answer", () => {
  const alone = { ...REPLY, connection: "", firstWordFrom: "", lastResort: true };
  expect(replyNote(alone)).toBe("no connection could answer");
  expect(replyNote({ ...REPLY, lastResort: true })).toBe(
    "vllm-local · first word 212 ms · broke off, and no other connection could go on",
  );
});

test("a microphone that is not on is not said to be listened to", () => {
  expect(stateText("listening", "on", ENGLISH)).toBe("Listening");
  expect(stateText("listening", "muted", ENGLISH)).toBe("You are muted");
  expect(stateText("listening", "off", ENGLISH)).toBe("Waiting for your message");
  expect(stateText("speaking", "muted", ENGLISH)).toBe("Speaking");
});

test("without a model the page names the built-in responder and says what to do", () => {
  const line = modelLine({ ...demo(), offline: true, responder: true });
  expect(line.text).toBe("No model is connected: the built-in offline responder answers.");
  expect(line.hint).toContain("OPENAI_BASE_URL");
});

test("a server that was named and cannot be used is named again with what to do", () => {
  const warnings = ["openai (OPENAI_BASE_URL) is left out: start it."];
  const line = modelLine({ ...demo(), offline: true, warnings });
  expect(line).toEqual({ text: "No model is connected: the agent can only say it is sorry.", hint: warnings[0] });
  expect(modelLine({ ...demo("local"), warnings }).hint).toBe(warnings[0]);
});

test("models that are not visible to everyone are neither named nor denied", () => {
  expect(modelLine(demo())).toEqual({ text: "A connected model answers.", hint: "" });
});

test("one model is named with what it runs", () => {
  const line = modelLine({ ...demo(), models: [{ name: "local", model: "Qwen3-8B" }] });
  expect(line).toEqual({ text: "local (Qwen3-8B) answers.", hint: "" });
});

test.each([
  [["a", "b"], "a and b answer, whichever is quicker."],
  [["a", "b", "c"], "a, b and c answer, whichever is quickest."],
  [["a", "b", "c", "d"], "a, b, c and d answer, whichever is quickest."],
  [["a", "b", "c", "d", "e"], "a, b, c and 2 more answer, whichever is quickest."],
])("of %j no list grows too long", (names, text) => {
  expect(modelLine(demo(...names)).text).toBe(text);
});

test("a refusal says how long to wait", () => {
  expect(said("too-many-calls", "", 37)).toContain("Wait 37 seconds");
  expect(said("too-many-calls", "", 600)).toContain("Wait 10 minutes");
  expect(said("too-many-calls")).toContain("Wait 1 minute");
});

test("a full site asks to come back", () => {
  expect(said("all-busy", "", 10)).toBe("All lines are busy right now. Try again in 10 seconds.");
});

test("a refusal repeats the server's detail", () => {
  expect(said("token-refused", "The agent is closed on Sundays.")).toBe(
    "The server did not let the call begin. Try again later. The agent is closed on Sundays.",
  );
});
