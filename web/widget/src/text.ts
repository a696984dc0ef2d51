/**
 * Carries a conversation in writing over HTTP alone, behind any firewall. Knows nothing of the page.
 *
 * The browser remembers the token of the conversation, so that it goes on after a reload, on the next page of the site
 * and in a second tab. docs/text.md describes the routes.
 */

import { CONVERSATION, type Door, Refused, request, requestConversation, Unreachable } from "./api";
import { answerTo, eventsOf, type ServerEvent } from "./events";
import { readConversation, storeConversation } from "./settings";
import { pause } from "./time";
import type { Segment } from "./transcript";
import { type Notice, type Phase, trouble, type Trouble } from "./words";

/** Callbacks of a conversation in writing. */
export interface TextEvents {
  phase(phase: Phase): void;
  /** Words of either side, as far as they have come. `isPast`: they were said before the page was opened. */
  segment(segment: Segment, isPast: boolean): void;
  /** A message of this page has arrived. */
  sent(id: string): void;
  /** A message of this page is one that its writer must send again: refused, or perhaps answered and then forgotten. */
  refused(id: string): void;
  /** The assistant has ended the conversation. */
  ended(): void;
  /** The next message begins another conversation, which knows nothing of this one. */
  forgotten(): void;
  /** The visitor has deleted the conversation in another tab. */
  deleted(): void;
  /** null removes the last notice. */
  notice(notice: Notice | null): void;
}

/** What one tab tells the others: that there is something to read, or the token of what the visitor has deleted. */
interface TabNews {
  readonly deleted?: string;
}

const START = "0.0";
/** Times (ms) between tries to reach the server again. */
const AGAIN_MS = [250, 500, 1_000, 2_000, 4_000, 8_000];
/** Tries to send a message while another one is being answered, or while a call ends. */
const MOST_WAITS = 40;
/** The same for a call that the visitor has just left. */
const LEAVE_WAITS = 12;
/** The longest time (ms) that the server may ask for between two tries. */
const LONGEST_WAIT_MS = 60_000;
const MESSAGE_ID_BYTES = 12;

const TROUBLES: Readonly<Record<string, Trouble>> = {
  "message-too-long": "message-too-long",
  "body-too-large": "message-too-long",
  "invalid-request": "message-too-long",
  "rate-limited": "too-many-messages",
  "site-spent": "all-busy",
  "too-many-calls": "too-many-calls",
};
/** Of refusals without a kind: by what stands before the server. */
const TROUBLES_BY_STATUS: Readonly<Record<number, Trouble>> = { 403: "not-allowed", 413: "message-too-long" };
/** Refusals of a conversation that is over: the next message begins another one. */
const OVER = ["unknown-conversation", "conversation-ended", "conversation-spent"];
/** Status codes of refusals that may pass, besides those of a server in trouble. */
const MAY_PASS = [408, 425, 429];

/** Returns a name for a message that no other message has, in any tab. */
export function messageId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(MESSAGE_ID_BYTES));
  return `m-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export class TextTalk {
  readonly #door: () => Door;
  readonly #events: TextEvents;
  #tabs: BroadcastChannel | null = null;
  #token: string;
  #place = START;
  #words = "";
  /** The state of the conversation when it was last read to the end; empty: the page has seen none of it happen. */
  #state = "";
  #isSilent = false;
  /** Whether the page has shown words of a call that the server may not have stored when they were last read. */
  #isCallShown = false;
  /** Whether another tab has said something since the last request began. */
  #isBehind = false;
  /** Messages of this page that the server may have without our knowing it. */
  readonly #uncertain = new Set<string>();
  #reading: AbortController | null = null;
  #following: Promise<void> | null = null;
  #beginning: Promise<string> | null = null;

  /** `door` returns the way to the server as it is by then. */
  constructor(door: () => Door, events: TextEvents) {
    this.#door = door;
    this.#events = events;
    this.#token = readConversation(door().site ?? "");
  }

  /** Hears what other tabs do, until the signal. */
  listen(signal: AbortSignal): void {
    const tabs = (this.#tabs = tabsOf(this.#door().site ?? ""));
    tabs?.addEventListener("message", ({ data }: MessageEvent<TabNews>) => (data.deleted ? this.#lost(data.deleted) : this.#hear()));
    signal.addEventListener("abort", () => {
      tabs?.close();
      this.#tabs = null;
    });
  }

  /** The token of the conversation; empty: there is none to go on with. */
  get proof(): string {
    return this.#token;
  }

  /** Returns the token of the conversation, which begins with this if there is none. Throws as {@link request}. */
  async token(): Promise<string> {
    if (this.#adopt()) return this.#token;
    this.#beginning ??= requestConversation(this.#door()).finally(() => (this.#beginning = null));
    const begun = await this.#beginning;
    if (this.#adopt()) return this.#token; // another tab has begun one meanwhile
    this.#token = begun;
    this.#state = "none";
    storeConversation(this.#door().site ?? "", begun);
    return this.#token;
  }

  /** Reads what came since, and the reply under way. Never throws: it tries again until it is stopped. */
  async follow(): Promise<void> {
    if (this.#following) return this.#following;
    if (!this.#adopt() || this.#reading) return;
    const reading = this.#read((signal) => this.#requestRest(signal));
    this.#following = reading.catch((error: unknown) => this.#lose(error)).finally(() => (this.#following = null));
    await this.#following;
    this.#catchUp();
  }

  /** Reads what another tab has said: at once, or after what is being read. */
  #hear(): void {
    this.#isBehind = true;
    this.#catchUp();
  }

  #catchUp(): void {
    if (this.#isBehind && !this.#following && !this.#reading) void this.follow();
  }

  /** Reads until the conversation is in writing: the call of the page before is about to end. */
  async settle(): Promise<void> {
    for (let tries = 0; tries < MOST_WAITS; tries += 1) {
      await this.follow();
      if (this.#state !== "agent") return;
      await pause(waitAfter(null, AGAIN_MS[0]));
    }
  }

  /** Reads what was said in a call, which the page has shown already, until the conversation is in writing. */
  async skip(): Promise<void> {
    for (let tries = 0; tries < LEAVE_WAITS; tries += 1) {
      this.#isSilent = this.#isCallShown = true;
      await this.follow();
      this.#isSilent = false;
      if (this.#state !== "agent") return;
      await pause(waitAfter(null, AGAIN_MS[0]));
    }
  }

  /**
   * Sends a message and reads the reply, after what is being read. Never throws: a refusal becomes a notice. While it
   * has to wait, it is sent only as long as `isDue`.
   */
  async send(id: string, text: string, isDue: () => boolean = () => true): Promise<void> {
    for (let tries = 0; tries < MOST_WAITS && isDue(); tries += 1) {
      await this.#following;
      this.#events.phase("thinking");
      const { context, language } = this.#door();
      const body = JSON.stringify({ id, text, context, language });
      try {
        await this.token();
        if (!isDue()) break;
        await this.#read((signal) => this.#post(id, body, signal));
        this.#tabs?.postMessage({});
        this.#catchUp();
        return;
      } catch (error) {
        if (!(await this.#mayTryAgain(error, id))) return;
      }
    }
    if (isDue()) this.#fail(trouble("message-not-sent"));
    else this.#events.phase("idle");
  }

  /** Forgets the conversation, which was deleted at the server. */
  deleted(proof: string): void {
    const deleted = this.#token || proof;
    this.stop();
    this.#forget();
    this.#tabs?.postMessage({ deleted });
  }

  /** Stops to read; what comes meanwhile is read later. */
  stop(): void {
    this.#reading?.abort();
  }

  /** Takes up the conversation that another tab has begun since; returns whether there is one. */
  #adopt(): boolean {
    if (this.#token) return true;
    this.#token = readConversation(this.#door().site ?? "");
    if (this.#token) this.#state ||= "none"; // all of it happens while the page is open
    return this.#token !== "";
  }

  #request(path: string, options: RequestInit): Promise<Response> {
    return request(this.#door(), `${CONVERSATION}${path}`, this.#token, options);
  }

  /** Requests all that comes after the place that was reached. */
  #requestRest(signal: AbortSignal): Promise<Response> {
    this.#isBehind = false;
    return this.#request("/events", { headers: { "last-event-id": this.#place }, signal });
  }

  /** Sends a message. The answer has what another tab has said before it as well, unless that may be a call's. */
  async #post(id: string, body: string, signal: AbortSignal): Promise<Response> {
    const isFirst = !this.#uncertain.has(id);
    this.#uncertain.add(id);
    const place = this.#isCallShown ? undefined : { "last-event-id": this.#place };
    const headers = { "content-type": "application/json", ...place };
    try {
      return await this.#request("/messages", { method: "POST", headers, body, signal });
    } catch (error) {
      if (isFirst && error instanceof Refused && error.status < 500) this.#uncertain.delete(id);
      throw error;
    }
  }

  /**
   * Reads a stream to its end, and what is missing when it breaks off. The first request is sent until something comes of
   * it: the server knows a message that it has. Throws Refused if it is refused, Unreachable if nothing comes.
   */
  async #read(first: (signal: AbortSignal) => Promise<Response>): Promise<void> {
    this.stop();
    const reading = (this.#reading = new AbortController());
    const { signal } = reading;
    const again = (asking: AbortSignal) => this.#requestRest(asking);
    try {
      let ask = first;
      for (let tries = 0; !signal.aborted; tries += 1) {
        let failure: unknown;
        try {
          const answer = await answerTo(ask, signal);
          for await (const event of eventsOf(answer)) {
            ask = again;
            if (event.name === "error") throw new Unreachable("the server is in trouble");
            tries = 0;
            if (this.#take(event)) return;
          }
        } catch (error) {
          if (signal.aborted) return;
          if (error instanceof Refused && (ask === first || !mayPass(error))) throw error;
          failure = error;
        }
        if (ask === first && tries === AGAIN_MS.length) throw new Unreachable("nothing came of it");
        this.#events.phase("reconnecting");
        await pause(waitAfter(failure, AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)]), signal);
      }
    } finally {
      if (this.#reading === reading) this.#reading = null;
    }
  }

  /** Takes one event; returns true at the end of what is under way. */
  #take({ id, name, data }: ServerEvent): boolean {
    if (name === "end") {
      const before = this.#state;
      this.#state = String(data.state);
      if (this.#state !== "agent") this.#isCallShown = false;
      // One without a message, perhaps of another tab, may still begin.
      if (data.state === "none" && this.#place !== START) this.#miss();
      if (data.state === "ended" && before !== "ended" && before) this.#events.ended();
      this.#events.phase("idle");
      return true;
    }
    if (name === "text") {
      const after = Number(id.split(".")[0]);
      this.#state ||= "text";
      this.#words += String(data.text ?? "");
      this.#place = id;
      this.#tell({ id: `item-${after + 1}`, who: "agent", text: this.#words, final: false });
    }
    if (name === "item") {
      this.#words = "";
      this.#place = id;
      const isCaller = data.role === "user";
      if (isCaller) this.#sent(String(data.id));
      const name = isCaller ? String(data.id) : `item-${Number(data.number)}`;
      this.#tell({ id: name, who: isCaller ? "caller" : "agent", text: String(data.text ?? ""), final: true });
    }
    return false;
  }

  #sent(id: string): void {
    if (this.#uncertain.delete(id)) this.#state ||= "text";
    this.#events.sent(id);
  }

  #tell(segment: Segment): void {
    if (this.#isSilent) return;
    this.#events.notice(null);
    this.#events.segment(segment, this.#state === "");
  }

  /** Decides whether a message is sent again, and waits until then. */
  async #mayTryAgain(error: unknown, id: string): Promise<boolean> {
    if (!(error instanceof Refused)) {
      this.#fail(trouble("server-unreachable"));
      return false;
    }
    if (OVER.includes(error.kind)) {
      this.#forget();
      this.#events.forgotten();
      if (!this.#uncertain.delete(id)) return true;
      this.#events.refused(id); // its reply may have ended the conversation: it is not to be carried out twice
      this.#fail(trouble("message-uncertain"));
      return false;
    }
    if (error.kind === "busy" || error.kind === "conversation-in-call") {
      await pause(waitAfter(error, 1_000));
      if (error.kind === "busy") await this.follow(); // what another tab is being told stands before this message
      return true;
    }
    let kind = TROUBLES[error.kind] ?? TROUBLES_BY_STATUS[error.status] ?? "message-not-sent";
    const isTooFast = kind === "too-many-messages";
    // One that may have arrived goes out again under its own name.
    if (isTooFast && this.#uncertain.has(id)) kind = "message-not-sent";
    else if (isTooFast || !mayPass(error)) this.#events.refused(id);
    this.#fail(trouble(kind, error.detail, error.retryAfter));
    return false;
  }

  /** Forgets a conversation that the server does not know any more; another refusal may pass. */
  #lose(error: unknown): void {
    this.#events.phase("idle");
    if (error instanceof Refused && error.kind === "unknown-conversation") this.#miss();
  }

  #miss(): void {
    const wasKnown = this.#place !== START;
    this.#forget();
    if (wasKnown) this.#events.forgotten();
  }

  /** Forgets the conversation if it is the one that another tab has deleted. */
  #lost(deleted: string): void {
    if (deleted !== this.#token) return;
    this.stop();
    this.#forget();
    this.#events.deleted();
  }

  #fail(notice: Notice): void {
    this.#events.phase("idle");
    this.#events.notice(notice);
  }

  #forget(): void {
    this.#place = START;
    this.#words = "";
    this.#state = "";
    const site = this.#door().site ?? "";
    if (readConversation(site) === this.#token) storeConversation(site, ""); // another tab may have begun the next one
    this.#token = "";
  }
}

/** Whether the server may answer in a moment what it refuses now. */
function mayPass({ status }: Refused): boolean {
  return MAY_PASS.includes(status) || status >= 500;
}

/** Returns the time (ms) to wait: what the server asks for, or about as long as usual, so that not all come at once. */
function waitAfter(failure: unknown, usual = 0): number {
  const asked = failure instanceof Refused ? failure.retryAfter : null;
  return asked === null ? usual * (0.5 + Math.random()) : Math.min(asked * 1_000, LONGEST_WAIT_MS);
}

/** Returns the way to the other tabs; null where the browser keeps a page's storage from it. */
function tabsOf(site: string): BroadcastChannel | null {
  try {
    return new BroadcastChannel(`patchbay.${site}`);
  } catch {
    return null;
  }
}
