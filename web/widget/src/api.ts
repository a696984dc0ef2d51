/** Calls the HTTP routes of the agent's server, and checks everything that comes from outside. */

import type { Reply } from "./transcript";

const TIMEOUT_MS = 10_000;

/** Status codes by which a proxy says that the server is away, as while it starts again. */
const GATEWAY_ERRORS = [502, 503, 504];

/** Path of a visitor's own conversation. */
export const CONVERSATION = "/api/visitor/conversation";

/** LiveKit's address, and a token to join one room there. */
export interface RoomToken {
  readonly serverUrl: string;
  readonly token: string;
  /** The server's proof of who this visitor is and which room is theirs. */
  readonly continuation: string;
}

/** The way to the agent: its server, and what a page asks for there. The server decides. */
export interface Door {
  /** The address of the agent's HTTP server; empty: the page's own. */
  readonly server: string;
  /** The public key of the page's site. */
  readonly site?: string | undefined;
  /** The assistant that the page wishes for. */
  readonly assistant?: string | undefined;
  /** What the page says of itself or of its visitor. */
  readonly context?: PageContext | undefined;
  /** Tag of the page's language. */
  readonly language?: string | undefined;
  /** The token of a conversation in writing, to go on with it by voice. */
  readonly conversation?: string | undefined;
}

/** Data of the page's for the assistant. With a signature of the site's server it is trusted. */
export interface PageContext {
  /** JSON. */
  readonly data: string;
  readonly signature?: string | undefined;
}

/** What a site's visitors may use. */
export interface Site {
  readonly voice: boolean;
  readonly text: boolean;
  /** Text that visitors agree to first; empty: none. */
  readonly consent: string;
}

/** A connected language model. */
export interface Model {
  readonly name: string;
  readonly model: string;
}

export interface Demo {
  readonly language: string;
  /** The connected models. */
  readonly models: readonly Model[];
  /** True when no model is connected. */
  readonly offline: boolean;
  /** True when the built-in responder answers. */
  readonly responder: boolean;
  /** Connections that were named and cannot be used, each with a remedy. */
  readonly warnings: readonly string[];
}

/** No server answered, or one that does not speak our protocol. */
export class Unreachable extends Error {}

/** The server refused the request. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** Seconds until another try makes sense; null if the server does not say. */
    readonly retryAfter: number | null,
    /** What the server calls the reason, such as `busy`. */
    readonly kind = "",
  ) {
    super(`refused with ${status}`);
  }
}

/** Returns the assistant that a page's address asks for, as in `/?assistant=shop`; the server decides. */
export function wantedAssistant(search: string): string | undefined {
  return new URLSearchParams(search).get("assistant") ?? undefined;
}

/**
 * Requests a token for a new room, or in a `continuation` for the room of before, which gets an agent if none is there.
 * Throws {@link Refused} or {@link Unreachable}.
 */
export async function requestToken(door: Door, continuation?: string): Promise<RoomToken> {
  const body = await requestJson(`${door.server}/token${siteQuery(door)}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ continuation, assistant: door.assistant, context: door.context, conversation: door.conversation }),
  });
  if (!isRecord(body) || typeof body.server_url !== "string" || typeof body.participant_token !== "string") {
    throw new Unreachable("the answer of the token route holds no token");
  }
  return { serverUrl: body.server_url, token: body.participant_token, continuation: text(body.continuation) };
}

/** Begins a conversation in writing and returns its token. Throws {@link Refused} or {@link Unreachable}. */
export async function requestConversation(door: Door): Promise<string> {
  const body = await requestJson(`${door.server}/api/visitor/conversations${siteQuery(door)}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ assistant: door.assistant }),
  });
  if (!isRecord(body) || typeof body.token !== "string") throw new Unreachable("the answer holds no token");
  return body.token;
}

/** Requests what the site's visitors may use. Throws {@link Refused} or {@link Unreachable}. */
export async function requestSite(door: Door): Promise<Site> {
  return parseSite(await requestJson(`${door.server}/site${siteQuery(door)}`, {}));
}

/** Checks an answer of the site route. Throws {@link Unreachable}. */
export function parseSite(body: unknown): Site {
  if (!isRecord(body) || !Array.isArray(body.modes)) throw new Unreachable("the answer of the site route holds no modes");
  return { voice: body.modes.includes("voice"), text: body.modes.includes("text"), consent: text(body.consent) };
}

/**
 * Stores how a conversation was: 1 to 5 stars, and a comment. `proof` is the token of a conversation in writing, or the
 * continuation of a call. Throws {@link Refused} or {@link Unreachable}.
 */
export async function sendRating(door: Door, proof: string, stars: number, comment: string): Promise<void> {
  await requestJson(`${door.server}/api/visitor/rating${siteQuery(door)}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ continuation: proof, stars, comment }),
  });
}

/** Requests what was said, as a text to save; empty if it is gone. Throws {@link Refused} or {@link Unreachable}. */
export async function requestTranscript(door: Door, proof: string): Promise<string> {
  const answer = await request(door, `${CONVERSATION}/transcript`, proof).catch(unlessGone);
  return answer?.text() ?? "";
}

/** Deletes all that was said, for good, unless it is gone. Throws {@link Refused} or {@link Unreachable}. */
export async function requestDeletion(door: Door, proof: string): Promise<void> {
  await request(door, CONVERSATION, proof, { method: "DELETE" }).catch(unlessGone);
}

function unlessGone(error: unknown): null {
  if (error instanceof Refused && error.kind === "unknown-conversation") return null;
  throw error;
}

/** Requests the list of connected models. Throws {@link Refused} or {@link Unreachable}. */
export async function requestDemo(server: string): Promise<Demo> {
  const body = await requestJson(`${server}/api/demo`, {});
  if (!isRecord(body) || !Array.isArray(body.connections)) {
    throw new Unreachable("the answer of the demo route holds no connections");
  }
  return {
    language: typeof body.language === "string" ? body.language : "en",
    offline: body.offline === true,
    responder: body.responder === true,
    warnings: Array.isArray(body.warnings) ? body.warnings.map(text).filter(Boolean) : [],
    models: body.connections
      .filter(isRecord)
      .filter((each) => each.provider !== "offline")
      .map((each) => ({ name: text(each.name), model: text(each.model) }))
      .filter((model) => model.name !== ""),
  };
}

/** Parses the note that follows an answer; returns null for any other text. */
export function parseReply(json: string): Reply | null {
  let body: unknown;
  try {
    body = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isRecord(body) || typeof body.connection !== "string") return null;
  const from = Array.isArray(body.took_over_from) ? body.took_over_from : [];
  return {
    connection: body.connection,
    model: text(body.model),
    firstWordMs: typeof body.first_word_ms === "number" ? body.first_word_ms : null,
    firstWordFrom: text(body.first_word_from),
    tookOverFrom: from.filter((name) => typeof name === "string"),
    lastResort: body.last_resort === true,
  };
}

function siteQuery(door: Door): string {
  return door.site === undefined ? "" : `?site=${encodeURIComponent(door.site)}`;
}

async function requestJson(url: string, options: RequestInit): Promise<unknown> {
  const response = await answered(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  return response.json().catch(() => null);
}

/**
 * Requests a path of the server with the proof of whose the conversation is, and returns the answer as it comes. Throws
 * {@link Refused} or {@link Unreachable}.
 */
export function request(door: Door, path: string, proof: string, options: RequestInit = {}): Promise<Response> {
  const headers = { ...options.headers, authorization: `Bearer ${proof}` };
  return answered(`${door.server}${path}${siteQuery(door)}`, { ...options, headers });
}

async function answered(url: string, options: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (cause) {
    throw new Unreachable("the server did not answer", { cause });
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => null);
  const wait = Number(response.headers.get("retry-after"));
  const detail = isRecord(body) ? text(body.detail) || text(body.title) : "";
  const kind = isRecord(body) ? text(body.type).replace("/problems/", "") : "";
  if (GATEWAY_ERRORS.includes(response.status) && !kind) throw new Unreachable("what stands before the server answered");
  throw new Refused(response.status, detail, wait > 0 ? wait : null, kind);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
