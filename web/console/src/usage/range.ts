/** What the page of usage shows, as its address has it, and what follows from that for the API. Pure. */

import { clean, oneOf, word, type Raw } from "../search";
import { text } from "../text";
import type { CallFilters } from "../calls/filters";

/** The time, the attempts that count, and the views that the page of usage shows. */
export function usageRange(raw: Raw) {
  return clean({
    range: oneOf(raw.range, text.usage.ranges),
    integration: oneOf(raw.integration, text.usage.integrations),
    assistant: word(raw.assistant),
    pool: word(raw.pool),
    connection: word(raw.connection),
    by: oneOf(raw.by, text.usage.groups),
    show: oneOf(raw.show, text.usage.measures),
  });
}

export type UsageRange = ReturnType<typeof usageRange>;

const HOUR = 3_600_000;
const HOURS = { day: 24, week: 7 * 24, month: 30 * 24 };

/** The steps of time in which a range is shown. */
export const bucketOf = ({ range = "day" }: UsageRange) => (range === "day" ? ("hour" as const) : ("day" as const));

/** Returns the query of the API for a range that ends with the hour of `now`; it begins as the API rounds it. */
export function usageQuery({ range = "day", integration, assistant, pool, connection }: UsageRange, now: number) {
  const until = Math.ceil(now / HOUR) * HOUR;
  const step = range === "day" ? HOUR : 24 * HOUR;
  const since = new Date(Math.floor((until - HOURS[range] * HOUR) / step) * step).toISOString();
  return clean({ since, integration, assistant, pool, connection_id: connection });
}

/** The conditions on one attempt behind a figure. */
export type Behind = Pick<CallFilters, "role" | "outcome" | "avoided_silence" | "reason" | "kind" | "assistant" | "pool" | "connection_id" | "state">;

/** Returns the address of the calls behind a figure; null where no call can be, as of what programs ask. */
export function callsBehind(of: UsageRange, now: number, behind: Behind): CallFilters | null {
  if (of.integration && of.integration !== "livekit") return null;
  const { since, assistant, pool, connection_id } = usageQuery(of, now);
  return clean({ started_from: since, assistant, pool, connection_id, ...behind }) as CallFilters;
}
