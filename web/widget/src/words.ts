/** Names what the page says to a person; `language.ts` has the sentences. */

export type Phase = "idle" | "connecting" | "listening" | "thinking" | "speaking" | "reconnecting" | "ended";

/** `off`: not opened in this call; `muted`: opened, and switched off for now. */
export type Microphone = "off" | "asking" | "on" | "muted";

/** Something that a person can act on. */
export type Trouble =
  | "server-unreachable"
  | "too-many-calls"
  | "too-many-messages"
  | "message-too-long"
  | "all-busy"
  | "not-allowed"
  | "token-refused"
  | "media-unreachable"
  | "agent-absent"
  | "agent-dropped"
  | "agent-lost"
  | "lost"
  | "connection-lost"
  | "moved-elsewhere"
  | "microphone-denied"
  | "microphone-missing"
  | "microphone-busy"
  | "microphone-insecure"
  | "microphone-failed"
  | "microphone-lost"
  | "sound-blocked"
  | "message-not-sent"
  | "message-uncertain"
  | "message-not-stored"
  | "rating-not-stored"
  | "not-done";

/** The usual end of a call. */
export type Ending = "hung-up-by-agent" | "hung-up-by-caller" | "deleted" | "thanks";

export interface Notice {
  readonly kind: Trouble | Ending;
  readonly tone: "end" | "trouble";
  /** A sentence of the server's, as it is; empty: none. */
  readonly detail: string;
  /** Seconds until another try makes sense; null if nobody says. */
  readonly retryAfter: number | null;
}

/** Makes a notice of a trouble. `detail` and `retryAfter` (s) come from the server's answer, if it gave them. */
export function trouble(kind: Trouble, detail = "", retryAfter: number | null = null): Notice {
  return { kind, tone: "trouble", detail, retryAfter };
}

/** Returns why a server that answered like this lets no call begin. */
export function refusal({ status, detail, retryAfter }: Pick<Notice, "detail" | "retryAfter"> & { readonly status: number }): Notice {
  if (status === 429) return trouble("too-many-calls", "", retryAfter);
  if (status === 503 && retryAfter !== null) return trouble("all-busy", "", retryAfter);
  return trouble(status === 403 ? "not-allowed" : "token-refused", detail);
}

/** Makes a notice of an end. */
export function ending(kind: Ending): Notice {
  return { kind, tone: "end", detail: "", retryAfter: null };
}

export const HUNG_UP_BY_AGENT = ending("hung-up-by-agent");
export const HUNG_UP_BY_CALLER = ending("hung-up-by-caller");
