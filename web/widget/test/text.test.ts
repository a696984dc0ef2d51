import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { messageId, TextTalk } from "../src/text";
import type { Segment } from "../src/transcript";

const until = (isSo: () => unknown) => vi.waitUntil(isSo, { timeout: 20_000 });

let server: Server | undefined;
/** Closes each tab of a test. */
const opened: (() => void)[] = [];
const asked: { path: string; headers: IncomingMessage["headers"]; body: string }[] = [];

beforeEach(() => {
  asked.length = 0;
  const stored = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
  });
});

afterEach(() => {
  for (const leave of opened.splice(0)) leave();
  vi.unstubAllGlobals();
  server?.closeAllConnections();
  server?.close();
});

type Answer = (response: ServerResponse) => void;

/** Starts a server that gives these answers to messages and events, one after another. */
async function serve(...answers: Answer[]): Promise<string> {
  const started = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      asked.push({ path: `${request.method} ${request.url}`, headers: request.headers, body });
      if (request.url?.includes("/conversations")) {
        response.writeHead(201, { "content-type": "application/json", "access-control-allow-origin": "*" });
        response.end(JSON.stringify({ token: `token-${asked.length}`, modes: ["text"] }));
        return;
      }
      answers.shift()?.(response);
    });
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
}

const item = (number: number, role: string, text: string, id = `i${number}`) =>
  `id: ${number}.0\nevent: item\ndata: ${JSON.stringify({ number, id, role, text })}\n\n`;
const words = (place: string, text: string) => `id: ${place}\nevent: text\ndata: ${JSON.stringify({ text })}\n\n`;
const END = 'event: end\ndata: {"state": "text"}\n\n';
const ENDED = 'event: end\ndata: {"state": "ended"}\n\n';

/** Sends these events; without an `end` among them the connection breaks off after them. */
function events(...parts: string[]): Answer {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "access-control-allow-origin": "*" });
    response.write(parts.join(""), () => (parts.at(-1)?.startsWith("event: end") ? response.end() : response.destroy()));
  };
}

function refusal(status: number, kind: string): Answer {
  return (response) => {
    const headers = { "content-type": "application/problem+json", "access-control-expose-headers": "retry-after" };
    response.writeHead(status, { ...headers, "retry-after": "0", "access-control-allow-origin": "*" });
    response.end(JSON.stringify({ type: `/problems/${kind}`, detail: "no" }));
  };
}

function talk(url: string) {
  const seen = { segments: new Map<string, Segment>(), past: [] as string[], sent: [] as string[], notices: [] as (string | undefined)[], phases: [] as string[] };
  const page = { server: url, site: "site_1", language: "de", context: { data: '"Teapot"' } };
  const text = new TextTalk(() => page, {
    phase: (phase) => seen.phases.push(phase),
    segment: (segment, isPast) => {
      seen.segments.set(segment.id, segment);
      if (isPast) seen.past.push(segment.id);
    },
    sent: (id) => seen.sent.push(id),
    ended: () => seen.phases.push("ended"),
    forgotten: () => seen.phases.push("forgotten"),
    refused: (id) => seen.phases.push(`refused ${id}`),
    deleted: () => seen.phases.push("deleted"),
    notice: (notice) => seen.notices.push(notice?.kind),
  });
  const element = new AbortController();
  text.listen(element.signal);
  opened.push(() => {
    element.abort();
    text.stop();
  });
  return { text, seen, element };
}

/** The messages that were sent so far. */
const posted = () => asked.filter(({ path }) => path.startsWith("POST /api/visitor/conversation/messages"));

test("a message is answered in the same request, and its words become one message", async () => {
  const { text, seen } = talk(await serve(events(item(1, "user", "Hi?", "m-1"), words("1.3", "We "), words("1.7", "open"), item(2, "assistant", "We open."), END)));
  await text.send("m-1", "Hi?");
  expect(seen.sent).toEqual(["m-1"]);
  expect(seen.segments.get("item-2")).toEqual({ id: "item-2", who: "agent", text: "We open.", final: true });
  expect(seen.phases.at(-1)).toBe("idle");
  expect(asked[1]?.headers.authorization).toBe("Bearer token-1");
});

test("a reply that breaks off is read on from the place that was reached", async () => {
  const { text, seen } = talk(await serve(events(item(1, "user", "Hi?", "m-1"), words("1.3", "We ")), events(words("1.7", "open"), item(2, "assistant", "We open."), END)));
  await text.send("m-1", "Hi?");
  expect(asked[2]?.path).toBe("GET /api/visitor/conversation/events?site=site_1");
  expect(asked[2]?.headers["last-event-id"]).toBe("1.3");
  expect(seen.segments.get("item-2")?.text).toBe("We open.");
});

test("a page that is loaded again shows what was said", async () => {
  const url = await serve(events(item(1, "user", "Hi?", "m-1"), END), events(item(1, "user", "Hi?", "m-1"), item(2, "assistant", "We open."), END));
  await talk(url).text.send("m-1", "Hi?");
  const { text, seen } = talk(url);
  expect(text.proof).toBe("token-1");
  await text.follow();
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?", "We open."]);
});

test("a message waits for the reply to another one", async () => {
  const { text, seen } = talk(await serve(refusal(429, "busy"), events(END), events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  expect(seen.sent).toEqual(["m-1"]);
  expect(posted().length).toBe(2);
});

test("what another tab is being told stands above the message that waits for it", async () => {
  keepApart();
  const url = await serve(
    refusal(429, "busy"),
    events(item(1, "user", "Hi?", "m-1"), item(2, "assistant", "We open."), END),
    events(item(3, "user", "When?", "m-2"), END),
  );
  const { text, seen } = talk(url);
  await text.send("m-2", "When?");
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?", "We open.", "When?"]);
});

test("a conversation that is over is followed by a new one", async () => {
  const { text, seen } = talk(await serve(refusal(409, "conversation-ended"), events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  expect(seen.sent).toEqual(["m-1"]);
  expect(asked.at(-1)?.headers.authorization).toBe("Bearer token-3");
  expect(seen.phases).toContain("forgotten");
});

const lost: Answer = (response) => response.destroy();

test.each([
  ["broke off", lost],
  ["came from a server in trouble", refusal(500, "internal-error")],
])("a message whose answer %s is given back where its conversation has ended meanwhile", async (_, first) => {
  const { text, seen } = talk(await serve(first, refusal(409, "conversation-ended"), events(item(1, "user", "And now?", "m-2"), END)));
  await text.send("m-1", "Cancel my order");
  await text.send("m-1", "Cancel my order", () => !seen.phases.includes("refused m-1"));
  expect(seen.phases).toContain("refused m-1");
  expect(seen.notices.at(-1)).toBe("message-uncertain");
  expect(posted()).toHaveLength(2);
  await text.send("m-2", "And now?");
  expect(posted().at(-1)?.headers.authorization).not.toBe("Bearer token-1");
  expect(seen.sent).toEqual(["m-2"]);
});

test("a message that was refused for a while begins another conversation once its own has ended", async () => {
  const { text, seen } = talk(await serve(refusal(429, "busy"), events(END), refusal(409, "conversation-ended"), events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  expect(seen.sent).toEqual(["m-1"]);
  expect(seen.phases).not.toContain("refused m-1");
});

test("a message says how far the page has read, so that what another tab has said before it comes along", async () => {
  const url = await serve(events(item(1, "user", "Hi?", "m-1"), END), events(item(2, "user", "Else?", "m-9"), item(3, "user", "When?", "m-2"), END));
  const { text, seen } = talk(url);
  await text.send("m-1", "Hi?");
  await text.send("m-2", "When?");
  expect(posted().map(({ headers }) => headers["last-event-id"])).toEqual(["0.0", "1.0"]);
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?", "Else?", "When?"]);
});

test("words of a call that are stored after its end are not shown again", async () => {
  const inCall = END.replace('"text"', '"agent"');
  const { text, seen } = talk(await serve(events(inCall), events(item(8, "agent", "Goodbye."), inCall), events(END), events(item(9, "user", "Hi?", "m-1"), END)));
  await text.token();
  await text.skip();
  await text.send("m-1", "Hi?");
  expect(posted()[0]?.headers["last-event-id"]).toBe("8.0");
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?"]);
});

test("words of a call that could not be read are not shown again with the next message", async () => {
  const { text, seen } = talk(await serve(lost, events(item(9, "user", "Hi?", "m-1"), END), events(item(10, "user", "When?", "m-2"), END)));
  await text.token();
  const skipping = text.skip();
  await until(() => asked.some(({ path }) => path.includes("/events")));
  text.stop();
  await skipping;
  await text.send("m-1", "Hi?");
  await text.send("m-2", "When?");
  expect(posted().map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "9.0"]);
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?", "When?"]);
});

test("what another tab says while this one reads is read after that", async () => {
  let finish: (() => void) | undefined;
  const held: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "access-control-allow-origin": "*" });
    response.write(item(1, "user", "Hi?", "m-1"));
    finish = () => response.end(END);
  };
  const url = await serve(held, events(item(2, "user", "Else?", "m-9"), END));
  const { text, seen } = talk(url);
  const sent = text.send("m-1", "Hi?");
  await until(() => seen.sent.includes("m-1"));
  const [tab, last] = [new BroadcastChannel("patchbay.site_1"), new BroadcastChannel("patchbay.site_1")];
  const heard = new Promise((resolve) => last.addEventListener("message", resolve));
  tab.postMessage({});
  await heard;
  finish?.();
  await sent;
  await until(() => seen.segments.size === 2);
  expect(asked.at(-1)?.headers["last-event-id"]).toBe("1.0");
  for (const each of [tab, last]) each.close();
});

test("a message says what the page knows and its language", async () => {
  const { text } = talk(await serve(events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  expect(JSON.parse(asked[1]?.body ?? "")).toEqual({ id: "m-1", text: "Hi?", context: { data: '"Teapot"' }, language: "de" });
});

test("a message is sent once what was said before is read, so that none of it is missing", async () => {
  const url = await serve(
    events(item(1, "user", "Hi?", "m-1"), END),
    events(item(1, "user", "Hi?", "m-1"), item(2, "assistant", "We open."), END),
    events(item(3, "user", "When?", "m-2"), END),
  );
  await talk(url).text.send("m-1", "Hi?");
  const { text, seen } = talk(url);
  void text.follow();
  await text.send("m-2", "When?");
  expect([...seen.segments.values()].map((segment) => segment.text)).toEqual(["Hi?", "We open.", "When?"]);
});

test("a message that has another way is not sent again", async () => {
  const { text, seen } = talk(await serve(refusal(409, "conversation-in-call")));
  let isDue = true;
  const answered = text.send("m-1", "Hi?", () => isDue);
  await until(() => asked.length === 2);
  isDue = false;
  await answered;
  expect(seen.sent).toEqual([]);
  expect(seen.notices).toEqual([]);
});

test("a message is not sent once it is gone while the conversation begins", async () => {
  const { text, seen } = talk(await serve());
  await text.send("m-1", "Hi?", () => asked.length === 0);
  expect(posted()).toEqual([]);
  expect(seen.phases.at(-1)).toBe("idle");
});

test("the end of a conversation by the assistant is told from that of a reply, and once", async () => {
  const { text, seen } = talk(await serve(events(item(1, "user", "Bye", "m-1"), ENDED), events(ENDED)));
  await text.send("m-1", "Bye");
  await text.follow();
  expect(asked.at(-1)?.path).toBe("GET /api/visitor/conversation/events?site=site_1");
  expect(seen.phases.filter((phase) => phase === "ended")).toEqual(["ended"]);
});

test("a conversation that was over before the page was opened is not said to end", async () => {
  const url = await serve(events(item(1, "user", "Bye", "m-1"), ENDED), events(item(1, "user", "Bye", "m-1"), item(2, "assistant", "Bye!"), ENDED));
  const one = talk(url);
  await one.text.send("m-1", "Bye");
  const other = talk(url);
  await other.text.follow();
  expect([one, other].map(({ seen }) => seen.phases.includes("ended"))).toEqual([true, false]);
});

test("a conversation that another tab begins is news here from its first message to its end", async () => {
  keepApart();
  const parts = [item(1, "user", "Bye", "m-1"), item(2, "assistant", "Goodbye!"), ENDED];
  const url = await serve(events(...parts), events(...parts));
  const [one, other] = [talk(url), talk(url)];
  await one.text.send("m-1", "Bye");
  await other.text.follow();
  expect(other.seen.past).toEqual([]);
  expect(other.seen.phases).toContain("ended");
});

test("a message to a conversation of before may end it", async () => {
  localStorage.setItem("patchbay.conversation.site_1", '"token"');
  const { text, seen } = talk(await serve(events(item(1, "assistant", "Hello!"), item(2, "user", "Bye", "m-1"), ENDED)));
  await text.send("m-1", "Bye");
  expect(seen.phases).toContain("ended");
  expect(seen.past).toEqual(["item-1"]);
});

test("the end of a reply that was under way when the page was opened is news", async () => {
  localStorage.setItem("patchbay.conversation.site_1", '"token"');
  const { text, seen } = talk(await serve(events(item(1, "user", "Bye", "m-1"), words("1.3", "Good"), item(2, "assistant", "Goodbye!"), ENDED)));
  await text.follow();
  expect(seen.past).toEqual(["m-1"]);
  expect(seen.phases).toContain("ended");
});

test("a refusal says why", async () => {
  const { text, seen } = talk(await serve(refusal(422, "message-too-long")));
  await text.send("m-1", "Hi?");
  expect(seen.notices).toEqual(["message-too-long"]);
  expect(seen.phases.at(-1)).toBe("idle");
});

test("a deleted conversation is forgotten", async () => {
  const { text } = talk(await serve(events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  text.deleted(text.proof);
  expect(text.proof).toBe("");
});

test("a message that breaks off before anything came of it is sent again under the same name", async () => {
  const { text, seen } = talk(
    await serve(
      (response) => response.destroy(),
      (response) => response.writeHead(502, { "access-control-allow-origin": "*" }).end("Bad Gateway"),
      events(item(1, "user", "Hi?", "m-1"), END),
    ),
  );
  await text.send("m-1", "Hi?");
  expect(posted().map(({ body }) => (JSON.parse(body) as { id: string }).id)).toEqual(["m-1", "m-1", "m-1"]);
  expect(seen.sent).toEqual(["m-1"]);
});

test("a reply is read on after a while in which the server cannot", async () => {
  const first = events(item(1, "user", "Hi?", "m-1"), words("1.3", "We "));
  const { text, seen } = talk(await serve(first, refusal(503, "store-unavailable"), events(item(2, "assistant", "We open."), END)));
  await text.send("m-1", "Hi?");
  expect(seen.segments.get("item-2")?.text).toBe("We open.");
  expect(seen.notices).not.toContain("message-not-sent");
});

test.each([
  [422, "message-too-long"],
  [422, "invalid-request"],
  [413, "body-too-large"],
])("a message that the server never takes (%i %s) is given back", async (status, kind) => {
  const { text, seen } = talk(await serve(refusal(status, kind)));
  await text.send("m-1", "Hi?");
  expect(seen.phases).toContain("refused m-1");
  expect(seen.notices).toEqual(["message-too-long"]);
});

test.each([
  [413, "message-too-long"],
  [403, "not-allowed"],
  [404, "message-not-sent"],
])("a message that what stands before the server never lets through (%i) is given back", async (status, notice) => {
  const page: Answer = (response) => response.writeHead(status, { "access-control-allow-origin": "*" }).end("<h1>No</h1>");
  const { text, seen } = talk(await serve(page));
  await text.send("m-1", "Hi?");
  expect(seen.phases).toContain("refused m-1");
  expect(seen.notices).toEqual([notice]);
});

test("a message that the server is in too much trouble to take is not given back", async () => {
  const { text, seen } = talk(await serve(refusal(503, "store-unavailable")));
  await text.send("m-1", "Hi?");
  expect(seen.phases).not.toContain("refused m-1");
  expect(seen.notices).toHaveLength(1);
});

test("a message that is written too fast is given back, as the notice says: sent again, it is not there twice", async () => {
  const { text, seen } = talk(await serve(refusal(429, "rate-limited")));
  await text.send("m-1", "Hi?");
  expect(seen.phases).toContain("refused m-1");
  expect(seen.notices).toEqual(["too-many-messages"]);
});

test("a message that may have arrived before one is too fast goes out again under its name", async () => {
  const { text, seen } = talk(await serve(lost, refusal(429, "rate-limited")));
  await text.send("m-1", "Hi?");
  expect(seen.phases).not.toContain("refused m-1");
  expect(seen.notices).toEqual(["message-not-sent"]);
});

/** Has the browser keep the tabs apart. */
function keepApart(): void {
  vi.stubGlobal("BroadcastChannel", () => {
    throw new DOMException("closed", "SecurityError");
  });
}

test("a tab takes up the conversation that another one has begun", async () => {
  keepApart();
  const url = await serve(events(item(1, "user", "Hi?", "m-1"), END), events(item(2, "user", "When?", "m-2"), END));
  const [one, other] = [talk(url).text, talk(url).text];
  await one.send("m-1", "Hi?");
  await other.send("m-2", "When?");
  expect(other.proof).toBe(one.proof);
});

test("a tab whose conversation is over leaves the next one of another tab alone", async () => {
  keepApart();
  const url = await serve(
    events(item(1, "user", "Hi?", "m-1"), END),
    refusal(409, "conversation-ended"),
    events(item(1, "user", "Again", "m-2"), END),
    refusal(409, "conversation-ended"),
    events(item(2, "user", "Here too", "m-3"), END),
  );
  const [one, other] = [talk(url).text, talk(url).text];
  await one.send("m-1", "Hi?");
  await other.token();
  await one.send("m-2", "Again");
  await other.send("m-3", "Here too");
  expect(other.proof).toBe(one.proof);
});

test("tabs that begin at once have one conversation", async () => {
  keepApart();
  const url = await serve();
  const [one, other] = [talk(url).text, talk(url).text];
  const [token] = await Promise.all([one.token(), other.token()]);
  expect(asked).toHaveLength(2);
  expect([one.proof, other.proof]).toEqual([token, token]);
  expect(talk(url).text.proof).toBe(token);
});

test("what is deleted in one tab is gone in the others, but not where it is another conversation or the element is gone", async () => {
  const url = await serve(events(item(1, "user", "Hi?", "m-1"), END));
  const [one, another, gone, other] = [talk(url), talk(url), talk(url), talk(url)];
  await another.text.token();
  localStorage.setItem("patchbay.conversation.site_1", '""');
  await one.text.send("m-1", "Hi?");
  await gone.text.token();
  await other.text.token();
  gone.element.abort();
  one.text.deleted(one.text.proof);
  await until(() => other.seen.phases.includes("deleted")); // it has opened its channel last
  expect([one.text.proof, another.text.proof, gone.text.proof, other.text.proof]).toEqual(["", "token-1", "token-2", ""]);
});

test("a server that asks for time is given it, and a request that is given up goes no further", async () => {
  vi.useFakeTimers();
  try {
    const signals: (AbortSignal | null | undefined)[] = [];
    const { text } = talk("http://127.0.0.1:9");
    localStorage.setItem("patchbay.conversation.site_1", '"token"');
    const first = new Response(item(1, "user", "Hi?", "m-1"));
    const away = { status: 503, headers: { "retry-after": "20" } };
    const answers = [first, new Response('{"type": "/problems/store-unavailable"}', away)];
    vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
      signals.push(signal);
      const answer = answers.shift();
      return answer ? Promise.resolve(answer) : new Promise(() => undefined);
    });
    void text.follow();
    await vi.advanceTimersByTimeAsync(1_000); // the first answer breaks off
    expect(signals).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(18_000);
    expect(signals).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(signals).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(45_000);
    expect([signals[2]?.aborted, signals.length]).toEqual([true, 4]);
    text.stop();
    expect(signals[3]?.aborted).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});

test("a server that says in its answers that it is in trouble is asked more and more seldom", async () => {
  vi.useFakeTimers();
  try {
    const { text, seen } = talk("http://127.0.0.1:9");
    localStorage.setItem("patchbay.conversation.site_1", '"token"');
    let asking = 0;
    let answer = 'event: error\ndata: {"detail": "the store is away"}\n\n';
    vi.stubGlobal("fetch", async () => {
      asking += 1;
      return new Response(answer);
    });
    const followed = text.follow();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asking).toBeGreaterThan(5);
    expect(asking).toBeLessThan(25);
    answer = END;
    await vi.advanceTimersByTimeAsync(15_000);
    await followed;
    expect(seen.phases.at(-1)).toBe("idle");
  } finally {
    vi.useRealTimers();
  }
});

test("a page whose storage the browser closes can be written on", async () => {
  const closed = () => {
    throw new DOMException("closed", "SecurityError");
  };
  vi.stubGlobal("localStorage", { getItem: closed, setItem: closed });
  keepApart();
  const { text, seen } = talk(await serve(events(item(1, "user", "Hi?", "m-1"), END)));
  await text.send("m-1", "Hi?");
  expect(seen.sent).toEqual(["m-1"]);
});

test("messages of all tabs have names of their own", () => {
  expect(messageId()).toMatch(/^[A-Za-z0-9_-]{8,64}$/);
  expect(messageId()).not.toBe(messageId());
});
