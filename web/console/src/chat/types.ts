/** A chat's settings and history, as forms have them. Pure. */

import type { Messages } from "../../../widget/src/transcript";
import type { CallItem, Schemas } from "../api/client";

export type Chat = Schemas["ChatDetail"];
export type ChatMessage = Schemas["ChatMessageRead"];
export type Route = Schemas["ChatRouteRead"];
export type Parameters = Schemas["ChatParameters"];
export type Past = Schemas["ChatPastMessage"];

export interface Settings {
  title: string;
  model: string;
  system_prompt: string;
  parameters: Parameters;
}

/** A conversation that a new chat begins with. */
export interface Beginning {
  history: Past[];
  system_prompt: string;
}

export const NEW: Settings = { title: "", model: "auto", system_prompt: "", parameters: {} };
/** The API takes so many messages of a history. */
const MOST_PAST = 200;

/** Returns the settings of a chat, with the changes that were not sent yet. */
export function settingsOf(stored: Settings | undefined, changed: Partial<Settings>): Settings {
  const { title, model, system_prompt, parameters } = stored ?? NEW;
  return { title, model, system_prompt, parameters, ...changed };
}

/** Returns the words of a call up to one of its items: those of the caller and of the agent. */
export function pastOf(items: readonly CallItem[], last: number): Past[] {
  const past: Past[] = [];
  for (const { number, role, text } of items) {
    if (number <= last && role !== "tool" && text) past.push({ role, content: text });
  }
  return past.slice(-MOST_PAST);
}

/** Returns a chat's messages up to the last question, to have it answered by others. */
export function pastOfChat(path: readonly ChatMessage[]): Past[] {
  const last = path.findLastIndex(({ role }) => role === "user");
  return path
    .slice(0, last + 1)
    .filter(({ content }) => content)
    .map(({ role, content }) => ({ role, content }))
    .slice(-MOST_PAST);
}

/** Returns a chat's messages and, after them, what was said by voice. */
export function withSpoken(path: readonly (Past | ChatMessage)[], spoken: Messages): Past[] {
  const heard = spoken.map(({ who, text }): Past => ({ role: who === "caller" ? "user" : "assistant", content: text }));
  return [...path.map(({ role, content }) => ({ role, content })), ...heard].filter(({ content }) => content.trim()).slice(-MOST_PAST);
}

/** Sets one parameter; null leaves it to the connection. */
export function withParameter(before: Parameters, name: keyof Parameters, value: Parameters[keyof Parameters] | null): Parameters {
  const { [name]: _, ...others } = before;
  return value === null ? others : { ...others, [name]: value };
}

/** Returns the numbers of the versions before and after this one, of those that stand beside it. */
export function beside(message: ChatMessage): { at: number; previous: number | undefined; next: number | undefined } {
  const at = message.siblings.indexOf(message.number);
  return { at: at + 1, previous: message.siblings[at - 1], next: message.siblings[at + 1] };
}
