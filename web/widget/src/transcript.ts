/** What has been said, as plain data: every function takes the messages and gives new ones back. */

export type Who = "caller" | "agent";

/** Which connection gave an answer, as the agent reports it once the answer has been spoken. */
export interface Reply {
  readonly connection: string;
  readonly model: string;
  /** From the question to the first speakable word; null when no word came. */
  readonly firstWordMs: number | null;
  readonly tookOverFrom: readonly string[];
  /** True when no connection answered and a prepared sentence was spoken in its place. */
  readonly lastResort: boolean;
}

/** The text of one stretch of speech so far: whole, not what was added. */
export interface Segment {
  readonly id: string;
  readonly who: Who;
  readonly text: string;
  readonly final: boolean;
}

export interface Message extends Segment {
  /** Typed, and still waiting for the agent to be there. */
  readonly pending: boolean;
  readonly reply: Reply | null;
}

export type Messages = readonly Message[];

/** Older messages are forgotten, so that a page left open for days stays light. */
export const MAX_MESSAGES = 300;

/** Takes in a partial or a final. A late partial never undoes a final, and silence leaves no message behind. */
export function hear(messages: Messages, segment: Segment): Messages {
  const known = messages.find((message) => message.id === segment.id);
  if (known?.final) return messages;
  if (segment.text.trim() === "") {
    return known && segment.final ? messages.filter((message) => message !== known) : messages;
  }
  if (known) return replace(messages, { ...known, text: segment.text, final: segment.final });
  return append(messages, { ...segment, pending: false, reply: null });
}

/** Adds what the caller typed; it is pending until {@link delivered}. */
export function type(messages: Messages, id: string, text: string): Messages {
  return append(messages, { id, who: "caller", text, final: true, pending: true, reply: null });
}

export function delivered(messages: Messages, id: string): Messages {
  const message = messages.find((each) => each.id === id);
  return message ? replace(messages, { ...message, pending: false }) : messages;
}

/** The typed message that is next to be sent, oldest first. */
export function nextPending(messages: Messages): Message | undefined {
  return messages.find((message) => message.pending);
}

/** Notes who answered on the last answer that has no note yet; without one, nothing changes. */
export function answered(messages: Messages, reply: Reply): Messages {
  const answer = messages.findLast((message) => message.who === "agent" && message.reply === null);
  return answer ? replace(messages, { ...answer, reply }) : messages;
}

/** The call is over: what was left half heard is all there will be. */
export function settle(messages: Messages): Messages {
  return messages.map((message) => (message.final ? message : { ...message, final: true }));
}

function append(messages: Messages, message: Message): Messages {
  return [...messages, message].slice(-MAX_MESSAGES);
}

function replace(messages: Messages, message: Message): Messages {
  return messages.map((each) => (each.id === message.id ? message : each));
}
