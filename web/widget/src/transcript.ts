/** Holds the conversation as plain data: every function takes the messages and returns new ones. */

/** `page`: a line that the page itself draws between two parts of the conversation. */
export type Speaker = "caller" | "agent" | "page";

/** The agent's note on an answer: the connection that gave it, sent once it has been spoken. */
export interface Reply {
  readonly connection: string;
  readonly model: string;
  /** Time from the question to the first speakable word; null if no word came. */
  readonly firstWordMs: number | null;
  /** The connection that gave that word; another one may have gone on after it. */
  readonly firstWordFrom: string;
  readonly tookOverFrom: readonly string[];
  /** True if no connection answered and a prepared sentence was spoken instead. */
  readonly lastResort: boolean;
}

/** The whole text so far of one stretch of speech. */
export interface Segment {
  readonly id: string;
  readonly who: Speaker;
  readonly text: string;
  readonly final: boolean;
}

export interface Message extends Segment {
  /** Typed, and not sent yet because the agent is not ready. */
  readonly pending: boolean;
  readonly reply: Reply | null;
}

export type Messages = readonly Message[];

/** Number of messages after which the oldest are dropped, so that a page left open for days stays light. */
export const MAX_MESSAGES = 300;

/**
 * Adds or updates a stretch of speech, above the messages that wait: nobody has read those yet. A late partial never
 * replaces a final, and silence leaves no message.
 */
export function addSegment(messages: Messages, segment: Segment): Messages {
  const known = messages.find((message) => message.id === segment.id);
  if (known?.final) return messages;
  if (segment.text.trim() === "") {
    return known && segment.final ? messages.filter((message) => message !== known) : messages;
  }
  if (known) return replace(messages, { ...known, text: segment.text, final: segment.final });
  return insert(messages, { ...segment, pending: false, reply: null });
}

/** Adds a typed message, which is pending until {@link markSent}. */
export function addTyped(messages: Messages, id: string, text: string): Messages {
  return append(messages, { id, who: "caller", text, final: true, pending: true, reply: null });
}

export function markSent(messages: Messages, id: string): Messages {
  const message = messages.find((each) => each.id === id);
  return message ? replace(messages, { ...message, pending: false }) : messages;
}

/** Returns the oldest typed message that has not been sent. */
export function nextPending(messages: Messages): Message | undefined {
  return messages.find((message) => message.pending);
}

/** Adds the note to the last answer after the last line that has none; changes nothing if every answer has one. */
export function addReply(messages: Messages, reply: Reply): Messages {
  const answer = messages.findLast((message) => message.who === "page" || (message.who === "agent" && message.reply === null));
  return answer?.who === "agent" ? replace(messages, { ...answer, reply }) : messages;
}

/** Draws a line below what was said so far, above the messages that wait; nothing if nothing was said since the last. */
export function addLine(messages: Messages, id: string, text: string): Messages {
  const last = messages.findLast((message) => !message.pending);
  if (!last || last.who === "page") return messages;
  return insert(messages, { id, who: "page", text, final: true, pending: false, reply: null });
}

/** Makes every message final, at the end of the call. */
export function finalize(messages: Messages): Messages {
  return messages.map((message) => (message.final ? message : { ...message, final: true }));
}

/** Returns the messages as a text to save. */
export function plain(messages: Messages, names: { readonly you: string; readonly agent: string }): string {
  const named = { caller: `${names.you}: `, agent: `${names.agent}: `, page: "" };
  return messages.map(({ who, text }) => `${named[who]}${text}\n`).join("\n");
}

function append(messages: Messages, message: Message): Messages {
  return [...messages, message].slice(-MAX_MESSAGES);
}

/** Adds a message above those that wait. */
function insert(messages: Messages, message: Message): Messages {
  const first = messages.findIndex((each) => each.pending);
  const said = first < 0 ? messages : messages.slice(0, first);
  return [...said, message, ...messages.slice(said.length)].slice(-MAX_MESSAGES);
}

function replace(messages: Messages, message: Message): Messages {
  return messages.map((each) => (each.id === message.id ? message : each));
}
