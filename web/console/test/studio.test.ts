import { expect, test } from "vitest";

import type { CallItem } from "../src/api/client";
import { read, written } from "../src/assistants/fields";
import { studioView } from "../src/chat/filters";
import { parseEvent, serverEvents } from "../src/chat/sse";
import { beside, pastOf, pastOfChat, withParameter, type ChatMessage } from "../src/chat/types";
import { isLeft } from "../src/room/left";
import { tagOf } from "../src/sites/queries";

const said = (number: number, role: CallItem["role"], text: string) => ({ number, role, text }) as CallItem;
const message = (number: number, role: ChatMessage["role"], content: string, siblings = [number]) => ({ number, role, content, siblings }) as ChatMessage;

test("an event has its id, its name and its data, and a comment is none", () => {
  expect(parseEvent('id: 11\nevent: text\ndata: {"text": "a: b"}')).toEqual({ id: "11", name: "text", data: { text: "a: b" } });
  expect(parseEvent(": ")).toBeNull();
});

test("events are read however the bytes are cut, also within a character", async () => {
  const bytes = new TextEncoder().encode('event: text\ndata: {"text": "grün"}\n\nevent: end\ndata: {}\n\n');
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 1) controller.enqueue(bytes.slice(at, at + 1));
      controller.close();
    },
  });
  const found = [];
  for await (const event of serverEvents(body)) found.push(event);
  expect(found.map(({ name, data }) => [name, data])).toEqual([
    ["text", { text: "grün" }],
    ["end", {}],
  ]);
});

test("a call by voice is left with its page or its chat, and not with the words of a search", () => {
  const here = { pathname: "/chat", search: { chat: "1", text: "tea" } };
  expect(isLeft(here, { pathname: "/calls", search: { chat: "1" } }, "chat")).toBe(true);
  expect(isLeft(here, { ...here, search: { chat: "2", text: "tea" } }, "chat")).toBe(true);
  expect(isLeft(here, { ...here, search: { chat: "1", beside: "new" } }, "chat")).toBe(false);
  expect(isLeft(here, { ...here, search: { chat: "2" } }, "beside")).toBe(false);
  expect(isLeft(here, { ...here, search: {} })).toBe(false);
});

test("a turn of a call takes what was said before it, and no tools", () => {
  const items = [said(1, "assistant", "Hello!"), said(2, "tool", ""), said(3, "user", "When?"), said(4, "assistant", "At nine.")];
  expect(pastOf(items, 3)).toEqual([
    { role: "assistant", content: "Hello!" },
    { role: "user", content: "When?" },
  ]);
  expect(pastOf(Array.from({ length: 300 }, (_, n) => said(n + 1, "user", String(n))), 300)).toHaveLength(200);
});

test("a chat beside another begins with its last question", () => {
  const path = [message(1, "user", "a"), message(2, "assistant", ""), message(3, "user", "b"), message(4, "assistant", "c")];
  expect(pastOfChat(path).map(({ content }) => content)).toEqual(["a", "b"]);
  expect(pastOfChat([])).toEqual([]);
});

test("the versions before and after a message are those that stand beside it", () => {
  expect(beside(message(5, "user", "", [1, 5, 9]))).toEqual({ at: 2, previous: 1, next: 9 });
  expect(beside(message(1, "user", ""))).toEqual({ at: 1, previous: undefined, next: undefined });
});

test("a parameter that is emptied is the connection's own again", () => {
  expect(withParameter({ temperature: 1, seed: 2 }, "temperature", null)).toEqual({ seed: 2 });
  expect(withParameter({}, "temperature", 0)).toEqual({ temperature: 0 });
});

test("an address of the studio that makes no sense shows an empty one", () => {
  expect(studioView({ chat: ["x"], item: "-1", call: 7 })).toEqual({ call: "7" });
  expect(studioView({ item: "3" })).toEqual({ item: 3 });
});

test("fields of an assistant are read as they are written", () => {
  const round = (kind: Parameters<typeof read>[0], name: Parameters<typeof read>[1], value: unknown) => read(kind, name, written(kind, value));
  expect(round("list", "languages", ["en", "de"])).toEqual(["en", "de"]);
  expect(round("map", "voices", { de: "thorsten" })).toEqual({ de: "thorsten" });
  expect(round("json", "http_tools", [{ name: "x" }])).toEqual([{ name: "x" }]);
  expect(round("number", "speed", 1.2)).toBe(1.2);
  expect(round("number", "speed", null)).toBeNull();
  expect(read("line", "pool", "")).toBeNull();
  expect(read("line", "description", "")).toBe("");
  expect(read("own line", "greeting", "")).toBe("");
  expect(read("json", "mcp_servers", "{}")).toBeUndefined();
  expect(read("json", "mcp_servers", "[")).toBeUndefined();
});

test("the line for a site's pages has its key", () => {
  expect(tagOf("https://voice.example", "site_1")).toBe('<script src="https://voice.example/widget.js" data-site="site_1" async></script>');
});
