/** Estimates what the caller of one turn would have waited with another setting. Pure. */

import type { Attempt, Turn } from "./timeline";

export interface Setting {
  /** The connection that is asked first. */
  first: string;
  /** Seconds after which a second connection is asked beside the first; null: never. */
  hedgeAfter: number | null;
  /** Seconds without a word after which a filler is said; null: never. */
  fillerAfter: number | null;
}

/** Seconds of silence: at least `from`, at most `to`; Infinity where this turn does not say. */
export interface Estimate {
  from: number;
  to: number;
  /** What ends the silence. */
  by: "reply" | "filler" | "unknown";
}

/** Seconds from a failure to the next attempt that is no pause. */
const SLACK = 0.1;
const NO_FAILURE = new Set(["won", "lost", "cancelled"]);

/** The attempts that could have given the first word: one for each connection, in order. */
export function racers(turn: Turn): Attempt[] {
  const before = turn.attempts.filter(({ role }) => role !== "resume" && role !== "trial").sort((one, other) => one.started - other.started);
  return before.filter((one, index) => before.findIndex(({ connection }) => connection === one.connection) === index);
}

/** The setting with which the turn went as it did, as far as its attempts say. */
export function settingOf(turn: Turn, fillerAfter: number | null): Setting {
  const [first, second] = racers(turn);
  const isInItsPlace = first && second && hasFailed(first) && first.duration <= second.started + SLACK;
  return { first: first?.connection ?? "", hedgeAfter: second && !isInItsPlace ? second.started : null, fillerAfter };
}

/**
 * Returns the silence with another setting, from the times that this turn has measured.
 *
 * A connection is taken to answer as fast as it did, whenever it is asked. One that was cut off before its first word
 * would have needed at least as long as it was waited for. One that failed has the next asked in its place.
 */
export function estimate(turn: Turn, setting: Setting): Estimate {
  const all = racers(turn);
  const first = all.find(({ connection }) => connection === setting.first) ?? all[0];
  if (!first) return { from: turn.waited, to: turn.waited, by: "unknown" };
  const others = all.filter((one) => one !== first);
  let word = wordOf(first, 0);
  // At the moment of a hedge the second is asked beside the first, if there is no word yet.
  let free = setting.hedgeAfter;
  let failedAt = hasFailed(first) ? first.duration : Infinity;
  for (const next of others) {
    const at = Math.min(free ?? Infinity, failedAt);
    if (at === Infinity || word.to <= at) break;
    const its = wordOf(next, at);
    word = { from: Math.min(word.from, its.from), to: Math.min(word.to, its.to) };
    free = null; // one hedge for each reply
    failedAt = hasFailed(next) ? at + next.duration : failedAt > at ? failedAt : Infinity;
  }
  const reply = { from: turn.asked + word.from + turn.voiced, to: turn.asked + word.to + turn.voiced };
  if (setting.fillerAfter !== null && reply.to > setting.fillerAfter) {
    // With its own delay a filler was first heard when the caller's wait ended.
    const heard = setting.fillerAfter;
    return { from: Math.min(reply.from, heard), to: heard, by: "filler" };
  }
  return { ...reply, by: reply.to === Infinity ? "unknown" : "reply" };
}

const hasFailed = (attempt: Attempt) => attempt.first_word === null && !NO_FAILURE.has(attempt.outcome);

function wordOf(attempt: Attempt, at: number): { from: number; to: number } {
  if (attempt.first_word !== null) return { from: at + attempt.first_word, to: at + attempt.first_word };
  return { from: hasFailed(attempt) ? Infinity : at + attempt.duration, to: Infinity };
}
