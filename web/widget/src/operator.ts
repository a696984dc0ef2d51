/** Words for people who run the agent, in English: which model answers, and how an answer came about. */

import type { Demo } from "./api";
import type { Reply } from "./transcript";

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
