/** Holds every sentence that the page shows to a person. */

import type { Demo } from "./api";
import type { Reply } from "./transcript";

export type Phase = "idle" | "connecting" | "listening" | "thinking" | "speaking" | "reconnecting" | "ended";

/** `off`: not opened in this call; `muted`: opened, and switched off for now. */
export type Microphone = "off" | "asking" | "on" | "muted";

export type Trouble =
  | "server-unreachable"
  | "too-many-calls"
  | "all-busy"
  | "not-allowed"
  | "token-refused"
  | "media-unreachable"
  | "agent-absent"
  | "agent-dropped"
  | "agent-lost"
  | "reconnecting"
  | "connection-lost"
  | "moved-elsewhere"
  | "microphone-denied"
  | "microphone-missing"
  | "microphone-busy"
  | "microphone-insecure"
  | "microphone-failed"
  | "sound-blocked"
  | "message-not-sent"
  | "message-not-stored";

export interface Notice {
  readonly text: string;
  /** "end": the call is over; "trouble": something that a person can act on. */
  readonly tone: "end" | "trouble";
}

export const PHASES: Readonly<Record<Phase, string>> = {
  idle: "Ready when you are",
  connecting: "Connecting…",
  listening: "Listening",
  thinking: "Thinking…",
  speaking: "Speaking",
  reconnecting: "Reconnecting…",
  ended: "Call ended",
};

/** Returns the words for the state of the call; nobody listens to a microphone that is not on. */
export function stateText(phase: Phase, microphone: Microphone): string {
  if (phase !== "listening" || microphone === "on" || microphone === "asking") return PHASES[phase];
  return microphone === "muted" ? "You are muted" : "Waiting for your message";
}

export const MICROPHONE: Readonly<Record<Microphone, string>> = {
  off: "Press to talk",
  asking: "Waiting for the microphone…",
  on: "Microphone on, press to mute",
  muted: "Muted, press to talk",
};

const TYPING_WORKS = "You can go on by typing.";

const TROUBLES: Readonly<Record<Trouble, string>> = {
  "server-unreachable": "The server does not answer. Check that it is running and that you are online, then start again.",
  "too-many-calls": "Too many calls were started from here in a short time. Wait a minute, then start again.",
  "all-busy": "All lines are busy right now. Try again in a moment.",
  "not-allowed": "This page is not allowed to call the agent. Open it from the agent's own address.",
  "token-refused": "The server did not let the call begin.",
  "media-unreachable":
    "The call could not be connected. A firewall or VPN may be in the way of the voice server; check it, then start again.",
  "agent-absent": "The agent did not pick up. It may be busy or not running; try again in a moment.",
  "agent-dropped": "The agent dropped out of the call. Another one is being called…",
  "agent-lost": "The agent dropped out of the call and did not come back. Start again to reach another one.",
  reconnecting: "Connection lost, trying again…",
  "connection-lost": "The connection was lost. Check your network, then start again.",
  "moved-elsewhere": "This call went on in another window.",
  "microphone-denied": `The browser does not let this page use the microphone. Allow it in the address bar to talk. ${TYPING_WORKS}`,
  "microphone-missing": `No microphone was found. Plug one in to talk. ${TYPING_WORKS}`,
  "microphone-busy": `Another program is using the microphone. Close it to talk. ${TYPING_WORKS}`,
  "microphone-insecure": `Browsers give the microphone only to pages on https or on this computer. ${TYPING_WORKS}`,
  "microphone-failed": `The microphone could not be switched on. ${TYPING_WORKS}`,
  "sound-blocked": "The browser is holding back the agent's voice. Press any key or click anywhere to hear it.",
  "message-not-sent": "Your message could not be sent. It is kept, and goes out with the next one.",
  "message-not-stored": "Your message could not be stored. Send it again, or stay on the line.",
};

/** Makes a notice. `detail` and `retryAfter` (s) come from the server's answer, if it gave them. */
export function trouble(kind: Trouble, detail = "", retryAfter: number | null = null): Notice {
  if (kind === "too-many-calls" && retryAfter !== null) {
    const text = `Too many calls were started from here. Wait ${seconds(retryAfter)}, then start again.`;
    return { text, tone: "trouble" };
  }
  if (kind === "all-busy" && retryAfter !== null) {
    return { text: `All lines are busy right now. Try again in ${seconds(retryAfter)}.`, tone: "trouble" };
  }
  return { text: [TROUBLES[kind], detail].filter(Boolean).join(" "), tone: "trouble" };
}

export const HUNG_UP_BY_AGENT: Notice = { text: "The agent has hung up. Goodbye!", tone: "end" };
export const HUNG_UP_BY_CALLER: Notice = { text: "You have hung up. Goodbye!", tone: "end" };

/** Lines between two parts of the conversation. */
export const NEW_CALL = "New call: the agent does not remember what was said above.";
export const NEW_AGENT = "Another agent has taken over: it does not know what was said above.";

/**
 * Returns the line under an answer: its connection, the time to its first word, and the failed connections before it.
 * The time is named only with the connection whose word it was: a prepared sentence has none.
 */
export function replyNote(reply: Reply): string {
  const parts = [reply.connection];
  if (reply.firstWordMs !== null && reply.connection) {
    const from = reply.firstWordFrom && reply.firstWordFrom !== reply.connection ? ` from ${reply.firstWordFrom}` : "";
    parts.push(`first word ${Math.round(reply.firstWordMs)} ms${from}`);
  }
  if (reply.tookOverFrom.length > 0) parts.push(`took over from ${list(reply.tookOverFrom)}`);
  if (reply.lastResort) parts.push(reply.connection ? "broke off, and no other connection could go on" : "no connection could answer");
  return parts.filter(Boolean).join(" · ");
}

/** Number of models that are named before "and 3 more". */
const NAMED = 3;

/** Returns the line that names the models, and a hint on how to connect one if there is none. */
export function modelLine(demo: Demo): { text: string; hint: string } {
  const warnings = demo.warnings.join(" ");
  if (demo.offline) {
    return {
      text: `No model is connected: ${demo.responder ? "the built-in offline responder answers" : "the agent can only say it is sorry"}.`,
      hint:
        warnings ||
        "To connect one, start Ollama or another local server, or set OPENAI_BASE_URL and OPENAI_API_KEY, then restart.",
    };
  }
  // Models that are not visible to everyone are not named.
  if (demo.models.length === 0) return { text: "A connected model answers.", hint: warnings };
  const names = demo.models.map(({ name, model }) => (model && model !== name ? `${name} (${model})` : name));
  const more = names.length - NAMED;
  const shown = more > 1 ? [...names.slice(0, NAMED), `${more} more`] : names;
  const choice = names.length === 2 ? "whichever is quicker" : "whichever is quickest";
  return { text: names.length === 1 ? `${names[0]} answers.` : `${list(shown)} answer, ${choice}.`, hint: warnings };
}

export const MODELS_UNKNOWN = { text: "Which model answers is not known: the server did not say.", hint: "" };

function list(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}

function seconds(count: number): string {
  if (count < 90) return count === 1 ? "a second" : `${Math.ceil(count)} seconds`;
  return `${Math.ceil(count / 60)} minutes`;
}
