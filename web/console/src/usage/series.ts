/** Makes the bars of a chart over time. Pure. */

import type { Figures, Schemas } from "../api/client";

export type Group = Schemas["UsageGroup"];
export type Measure = "attempts" | "first" | "silence" | "tokens" | "cost";

/** One step of time: a whole value, and the part of it that is drawn in front. */
export interface Bar {
  at: string;
  whole: number;
  part: number;
  figures: Figures | null;
}

const STEPS = { hour: 3_600_000, day: 24 * 3_600_000 };

/** Returns the value of a measure, and the part of it that is drawn in front. */
export function valuesOf(figures: Figures, measure: Measure): [whole: number, part: number] {
  switch (measure) {
    case "attempts":
      return [figures.attempts ?? 0, figures.failed ?? 0];
    case "first":
      return [figures.ttft?.p95 ?? 0, figures.ttft?.p50 ?? 0];
    case "silence":
      return [figures.silence_avoided ?? 0, 0];
    case "tokens":
      return [tokens(figures), figures.tokens_out ?? 0];
    case "cost":
      return [figures.cost ?? 0, 0];
  }
}

export const tokens = (figures: Figures) => (figures.tokens_in ?? 0) + (figures.tokens_out ?? 0);

/** Returns a bar for each hour or day from `since` to `until`; the API leaves out those without attempts. */
export function bars(items: readonly Group[], since: string, until: string, bucket: "hour" | "day", measure: Measure): Bar[] {
  const found = new Map(items.map(({ at, figures }) => [Date.parse(at ?? ""), figures]));
  const all: Bar[] = [];
  for (let at = Date.parse(since); at < Date.parse(until); at += STEPS[bucket]) {
    const figures = found.get(at) ?? null;
    const [whole, part] = figures ? valuesOf(figures, measure) : [0, 0];
    all.push({ at: new Date(at).toISOString(), whole, part, figures });
  }
  return all;
}
