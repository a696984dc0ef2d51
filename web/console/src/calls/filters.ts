import { clean, oneOf, word, type Raw } from "../search";
import { text } from "../text";

/** The filters of the list of calls, as its address has them, named as in the API. */
export function callFilters(raw: Raw) {
  return clean({
    state: oneOf(raw.state, text.calls.states),
    kind: oneOf(raw.kind, text.calls.kinds),
    text: word(raw.text),
    assistant: word(raw.assistant),
    reason: word(raw.reason),
    connection_id: word(raw.connection_id),
    pool: word(raw.pool),
    role: oneOf(raw.role, text.call.attemptRoles),
    outcome: word(raw.outcome),
    avoided_silence: raw.avoided_silence === true ? true : undefined,
    started_from: moment(raw.started_from),
    started_to: moment(raw.started_to),
  });
}

export type CallFilters = ReturnType<typeof callFilters>;

/** Filters that a link from a figure sets; they are shown by their names, and can only be taken away. */
export const GIVEN = ["assistant", "reason", "connection_id", "pool", "role", "outcome", "avoided_silence", "started_from", "started_to"] as const;

function moment(value: unknown): string | undefined {
  return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : undefined;
}
