// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";

import type { CallEvents } from "../src/call";
import { type LoadCall, Talk, type TalkEvents } from "../src/talk";

const until = (isSo: () => unknown) => vi.waitUntil(isSo, { timeout: 20_000 });

const DOOR = { server: "http://voice.test", site: "site_1" };
const END = 'event: end\ndata: {"state": "text"}\n\n';

/** Stands for a call: it joins no room, and notes what it sends. */
class RoomOfNone {
  static made: RoomOfNone[] = [];
  readonly sent: string[] = [];
  readonly microphone = { hold: () => undefined };
  readonly continuation = "continuation";
  ready = false;
  isOpen = false;

  constructor(
    readonly door: { readonly conversation?: string },
    readonly voice: boolean,
    _choices: unknown,
    readonly events: CallEvents,
  ) {
    RoomOfNone.made.push(this);
  }

  async open(left: Promise<void> | null): Promise<void> {
    this.events.phase("connecting");
    await left;
    this.isOpen = true;
  }

  async send(text: string): Promise<void> {
    this.sent.push(text);
  }

  hangUp(): void {
    this.events.phase("ended");
  }

  /** An agent comes. */
  come(): void {
    this.ready = true;
    this.events.waits(null);
    this.events.phase("listening");
  }
}

let asked: { path: string; body: Record<string, unknown> | null; proof: string }[];
let refusesRooms: boolean;
let root: HTMLElement;

/** Answers as the agent's server does: each message is noted, and answered at once. */
async function answer(url: string, options: RequestInit = {}): Promise<unknown> {
  const path = `${options.method ?? "GET"} ${new URL(url).pathname}`;
  const body = typeof options.body === "string" ? (JSON.parse(options.body) as Record<string, unknown>) : null;
  const headers = options.headers as Record<string, string> | undefined;
  asked.push({ path, body, proof: (headers?.authorization ?? "").replace("Bearer ", "") });
  const number = asked.length;
  let text = path.endsWith("/conversations") ? JSON.stringify({ token: "token", modes: ["text"] }) : END;
  if (path.endsWith("/messages")) {
    const item = (count: number, role: string, id: unknown, said: unknown) =>
      `id: ${count}.0\nevent: item\ndata: ${JSON.stringify({ number: count, id, role, text: said })}\n\n`;
    text = item(2 * number, "user", body?.id, body?.text) + item(2 * number + 1, "assistant", "", `Answer to ${String(body?.text)}`) + END;
  }
  if (path.endsWith("/transcript")) text = "Visitor: Hello?";
  const ok = !(refusesRooms && path.endsWith("/messages"));
  const problem = JSON.stringify({ type: "/problems/conversation-in-call" });
  const sent = new TextEncoder().encode(ok ? text : problem);
  return {
    ok,
    status: ok ? 200 : 409,
    headers: new Map([["retry-after", "0.01"]]),
    json: async () => JSON.parse(ok ? text : problem) as unknown,
    text: async () => text,
    body: new ReadableStream({
      start: (controller) => {
        controller.enqueue(sent);
        controller.close();
      },
    }),
  };
}

const load = (async () => ({ Call: RoomOfNone })) as unknown as LoadCall;

let element: AbortController;

function talk(written = true, events: TalkEvents = {}, loading = load): Talk {
  const made = new Talk(root, () => DOOR, loading, { written, rated: true, events });
  made.listen(element.signal);
  return made;
}

function shown(): string[] {
  return [...root.querySelectorAll<HTMLElement>("#log .pb-text")].map((each) => each.textContent ?? "");
}

function press(id: string): void {
  root.querySelector<HTMLElement>(`#${id}`)?.click();
}

/** Begins a call, and waits until it is there. */
async function called(): Promise<RoomOfNone> {
  const before = RoomOfNone.made.length;
  press("talk");
  await until(() => RoomOfNone.made.length > before);
  return RoomOfNone.made.at(-1) as RoomOfNone;
}

const messages = () => asked.filter(({ path }) => path.endsWith("/messages")).map(({ body }) => body?.text);

beforeEach(() => {
  asked = [];
  refusesRooms = false;
  RoomOfNone.made = [];
  localStorage.clear();
  element?.abort();
  element = new AbortController();
  vi.stubGlobal("fetch", answer);
  root = document.createElement("div");
  document.body.replaceChildren(root);
});

test("a typed message goes over HTTP and begins no call", async () => {
  talk().say("Hello?");
  await until(() => shown().includes("Answer to Hello?"));
  expect(shown()).toEqual(["Hello?", "Answer to Hello?"]);
  expect(RoomOfNone.made).toEqual([]);
  expect(root.querySelector<HTMLElement>("#end")?.hidden).toBe(true);
});

test("in a call typed messages go to its room", async () => {
  const talking = talk();
  const call = await called();
  expect(call.door.conversation).toBe("token");
  talking.say("Hello?");
  expect(call.sent).toEqual([]);
  call.come();
  await until(() => call.sent.length === 1);
  expect(messages()).toEqual([]);
});

test("a visitor who waits in the queue is answered in writing, and by the agent once it is there", async () => {
  const talking = talk();
  const call = await called();
  talking.say("Are you there?");
  call.events.waits({ place: 2, takesMessages: true });
  await until(() => shown().includes("Answer to Are you there?"));
  talking.say("When do you open?");
  await until(() => shown().includes("Answer to When do you open?"));
  call.come();
  talking.say("Thank you");
  await until(() => call.sent.length === 1);
  expect(call.sent).toEqual(["Thank you"]);
  expect(messages()).toEqual(["Are you there?", "When do you open?"]);
});

test("a message that is refused as the agent comes goes to the agent", async () => {
  refusesRooms = true;
  const talking = talk();
  const call = await called();
  call.events.waits({ place: 1, takesMessages: false });
  talking.say("Are you there?");
  await until(() => messages().length > 0);
  call.come();
  await until(() => call.sent.length === 1);
  expect(call.sent).toEqual(["Are you there?"]);
});

test("a conversation is deleted only after the question, and a call in it ends", async () => {
  const talking = talk();
  talking.say("Hello?");
  await until(() => shown().length === 2);
  const call = await called();
  call.come();
  press("forget");
  press("forget-not");
  expect(asked.some(({ path }) => path.startsWith("DELETE"))).toBe(false);
  press("forget");
  press("forget-now");
  await until(() => shown().length === 0);
  expect(asked.find(({ path }) => path.startsWith("DELETE"))?.proof).toBe("token");
  expect(talking.state).toBe("idle");
  expect(root.querySelector<HTMLElement>(".pb-menu-more")?.hidden).toBe(true);
});

test("of a call without writing the continuation is the proof", async () => {
  const talking = talk(false);
  const call = await called();
  call.come();
  call.events.segment({ id: "a", who: "agent", text: "Hello!", final: true });
  talking.hangUp();
  expect(await talking.transcript()).toBe("Visitor: Hello?");
  expect(asked.at(-1)).toEqual({ path: "GET /api/visitor/conversation/transcript", body: null, proof: "continuation" });
  expect(root.querySelector<HTMLElement>(".pb-rating")?.hidden).toBe(false);
});

test("a message that the server never takes goes back to the field, and the next one is sent", async () => {
  const talking = talk();
  const usual = fetch;
  const problem = { type: "/problems/message-too-long" };
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) => {
    if (!String(options.body).includes("a long story")) return usual(url, options);
    return { ok: false, status: 422, headers: new Map(), json: async () => problem };
  });
  talking.say("a long story");
  await until(() => root.querySelector<HTMLInputElement>("#text")?.value === "a long story");
  expect(shown()).toEqual([]);
  expect(root.querySelector("#notice")?.textContent).toContain("too long");
  talking.say("a short one");
  await until(() => shown().includes("Answer to a short one"));
});

test("a message that is refused for good goes back before what was typed since, and holds no later one", async () => {
  const talking = talk();
  const usual = fetch;
  let refuse: (() => void) | undefined;
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) => {
    if (!String(options.body).includes("<odd>")) return usual(url, options);
    await new Promise<void>((resolve) => (refuse = resolve));
    return new Response("<h1>Forbidden</h1>", { status: 403 });
  });
  talking.say("An <odd> question");
  talking.say("A plain one");
  await until(() => refuse !== undefined);
  const field = root.querySelector<HTMLInputElement>("#text");
  if (field) field.value = "and mo";
  refuse?.();
  await until(() => shown().includes("Answer to A plain one"));
  expect(field?.value).toBe("An <odd> question and mo");
  expect(shown()).toEqual(["A plain one", "Answer to A plain one"]);
});

test("a message that waits is not sent once everything is deleted", async () => {
  refusesRooms = true;
  const talking = talk();
  talking.say("Hello?");
  await until(() => messages().length > 0);
  const deleted = talking.forget();
  const before = messages().length;
  refusesRooms = false;
  await deleted;
  talking.say("Good day");
  await until(() => shown().includes("Answer to Good day"));
  expect(messages().slice(before)).toEqual(["Good day"]);
  expect(shown()).toEqual(["Good day", "Answer to Good day"]);
});

test("a call that is begun right after another one joins its room once that is over at the server", async () => {
  const talking = talk();
  const first = await called();
  first.come();
  const usual = fetch;
  let state = "agent";
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) =>
    url.includes("/events") ? new Response(END.replace("text", state)) : usual(url, options),
  );
  talking.hangUp();
  const second = await called();
  const reads = vi.fn(fetch);
  vi.stubGlobal("fetch", reads);
  await until(() => reads.mock.calls.length > 1);
  expect([first.isOpen, second.isOpen]).toEqual([true, false]);
  state = "text";
  await until(() => second.isOpen);
});

test("a call that is ended while the large part loads does not begin afterwards", async () => {
  localStorage.setItem("patchbay.conversation.site_1", '"token"');
  let loaded: ((part: Awaited<ReturnType<LoadCall>>) => void) | undefined;
  const talking = talk(true, {}, () => new Promise((resolve) => (loaded = resolve)));
  press("talk");
  press("end");
  await until(() => asked.some(({ path }) => path.endsWith("/events")) && talking.state === "idle");
  loaded?.(await load());
  talking.say("Hello?");
  await until(() => shown().includes("Answer to Hello?"));
  expect(RoomOfNone.made).toEqual([]);
});

test("a call does not go on by itself in an element that is gone by then", async () => {
  localStorage.setItem("patchbay.conversation.site_1", '"token"');
  const usual = fetch;
  let state = "agent";
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) => {
    const answered = await usual(url, options);
    return url.includes("/events") ? new Response(END.replace("text", state)) : answered;
  });
  const talking = talk();
  const gone = talking.goOn();
  await until(() => asked.some(({ path }) => path.endsWith("/events")));
  talking.hangUp();
  state = "text";
  await gone;
  expect([RoomOfNone.made, talking.state]).toEqual([[], "idle"]);
});

test("a call that the server does not let begin says why", async () => {
  const talking = talk();
  vi.stubGlobal("fetch", async () => new Response("{}", { status: 429, headers: { "retry-after": "30" } }));
  press("talk");
  await until(() => talking.state === "ended");
  expect(root.querySelector("#notice")?.textContent).toContain("Too many calls");
});

const BEFORE = `id: 1.0\nevent: item\ndata: {"number": 1, "id": "m-0", "role": "user", "text": "Before"}\n\n`;

/** Has a conversation of before, in which a message was sent. */
function begunBefore(): void {
  localStorage.setItem("patchbay.conversation.site_1", '"token"');
  const usual = fetch;
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) => (url.includes("/events") ? new Response(BEFORE + END) : usual(url, options)));
}

test("what was said before is shown once the visitor agrees to a text that has changed", async () => {
  begunBefore();
  const talking = talk();
  talking.askConsent("New terms");
  await talking.resume();
  expect(shown()).toEqual([]);
  press("agree");
  await until(() => shown().includes("Before"));
});

test("the page is notified of messages of this visit alone", async () => {
  begunBefore();
  const said: string[] = [];
  const talking = talk(true, { message: (_, text) => said.push(text) });
  await talking.resume();
  talking.say("Hello?");
  await until(() => shown().includes("Answer to Hello?"));
  expect(shown()).toEqual(["Before", "Hello?", "Answer to Hello?"]);
  expect(said).toEqual(["Hello?", "Answer to Hello?"]);
});

test("the page is notified once of a message that is given back and sent again", async () => {
  const usual = fetch;
  let isTooFast = true;
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) =>
    isTooFast && url.includes("/messages") ? new Response('{"type": "/problems/rate-limited"}', { status: 429 }) : usual(url, options),
  );
  const said: string[] = [];
  const talking = talk(true, { message: (_, text) => said.push(text) });
  talking.say("Hello?");
  await until(() => root.querySelector<HTMLInputElement>("#text")?.value === "Hello?");
  isTooFast = false;
  talking.say("Hello?");
  await until(() => shown().includes("Answer to Hello?"));
  expect(said).toEqual(["Hello?", "Answer to Hello?"]);
});

test("half an emoji is no reason not to send the rest", async () => {
  talk().say("Tea \ud83c");
  await until(() => messages().length > 0);
  expect(messages()).toEqual(["Tea \ufffd"]);
});

test("a page that is seen again reads what came meanwhile", async () => {
  const talking = talk();
  talking.say("Hello?");
  await until(() => shown().length === 2);
  await talking.resume();
  const reads = () => asked.filter(({ path }) => path.endsWith("/events")).length;
  const before = reads();
  document.dispatchEvent(new Event("visibilitychange"));
  await until(() => reads() > before);
  await talking.resume();
  element.abort();
  const last = reads();
  for (const name of ["pageshow", "online"]) window.dispatchEvent(new Event(name));
  document.dispatchEvent(new Event("visibilitychange"));
  expect(reads()).toBe(last); // it would have asked at once
  talking.listen(new AbortController().signal);
  expect(reads()).toBe(last + 1);
});

test("the greeting stands above the message that it came with", async () => {
  const usual = fetch;
  const events = [
    { number: 1, role: "assistant", id: "", text: "Hello!" },
    { number: 2, role: "user", text: "When?" },
  ];
  vi.stubGlobal("fetch", async (url: string, options: RequestInit = {}) => {
    if (!url.includes("/messages")) return usual(url, options);
    const id = (JSON.parse(String(options.body)) as { id: string }).id;
    const sent = events.map((each) => `id: ${each.number}.0\nevent: item\ndata: ${JSON.stringify({ id, ...each })}\n\n`);
    return new Response([...sent, END].join(""));
  });
  talk().say("When?");
  await until(() => shown().length === 2);
  expect(shown()).toEqual(["Hello!", "When?"]);
});
