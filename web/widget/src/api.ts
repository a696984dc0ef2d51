/** Calls the two HTTP routes of the agent's server, and checks everything that comes from outside. */

import type { Reply } from "./transcript";

const TIMEOUT_MS = 10_000;

/** LiveKit's address, and a token to join one room there. */
export interface RoomToken {
  readonly serverUrl: string;
  readonly token: string;
  /** The server's proof of who this visitor is and which room is theirs. */
  readonly continuation: string;
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
export async function requestToken(server: string, continuation?: string, assistant?: string): Promise<RoomToken> {
  const body = await requestJson(`${server}/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ continuation, assistant }),
  });
  if (!isRecord(body) || typeof body.server_url !== "string" || typeof body.participant_token !== "string") {
    throw new Unreachable("the answer of the token route holds no token");
  }
  return { serverUrl: body.server_url, token: body.participant_token, continuation: text(body.continuation) };
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

async function requestJson(url: string, options: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    throw new Unreachable("the server did not answer", { cause });
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return body;
  const wait = Number(response.headers.get("retry-after"));
  const detail = isRecord(body) ? text(body.detail) || text(body.title) : "";
  throw new Refused(response.status, detail, wait > 0 ? wait : null);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
