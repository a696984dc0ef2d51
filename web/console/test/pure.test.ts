import { InfiniteQueryObserver, QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";

import { nextOffset, nextPage, type CallItem, type Connection } from "../src/api/client";
import { callFilters } from "../src/calls/filters";
import { turnOf } from "../src/calls/timeline";
import { connectionFilters, connectionQuery } from "../src/connections/filters";
import { estimate, racers, settingOf, type Setting } from "../src/calls/what_if";
import { compareClock, now } from "../src/clock";
import { cost, csv, length, seconds } from "../src/format";
import { callsBehind } from "../src/usage/range";
import { bars, type Group } from "../src/usage/series";
import { changes, conflicts } from "../src/values";

function item(receipt: Record<string, unknown>, role: CallItem["role"] = "assistant"): CallItem {
  return { number: 1, id: "a", role, text: "", tool_calls: [], interrupted_at: null, receipt, epoch: 1, created_at: "" } as CallItem;
}

const RECEIPT = {
  times: { e2e_latency: 1, transcription_delay: 0.1, end_of_turn_delay: 0.3, tts_node_ttfb: 0.2 },
  first_word: 0.4,
  connection: "cellar",
  attempts: [{ connection: "attic", role: "first", outcome: "silent", started: 0, first_word: null, duration: 0.3, delivered: false }],
};

test("the parts of a turn add up to what the caller waited", () => {
  const turn = turnOf(item(RECEIPT));
  expect(turn?.parts.map(({ name }) => name)).toEqual(["words", "end", "model", "voice", "rest"]);
  expect(turn?.parts.reduce((sum, part) => sum + part.seconds, 0)).toBeCloseTo(1);
  expect(turn?.asked).toBe(0.3);
});

test("parts never exceed the wait, whatever was measured", () => {
  const turn = turnOf(item({ ...RECEIPT, first_word: 9, times: { e2e_latency: 1, end_of_turn_delay: 0.6 } }));
  expect(turn?.parts.reduce((sum, part) => sum + part.seconds, 0)).toBeCloseTo(1);
});

test("odd receipts have no turn", () => {
  expect(turnOf(item({}))).toBeNull();
  expect(turnOf(item({ times: null, attempts: "x", first_word: Number.NaN }))).toBeNull();
  expect(turnOf(item(RECEIPT, "user"))).toBeNull();
});

test("an address with filters that nobody knows shows the usual list", () => {
  expect(connectionFilters({ type: "toaster", sort: "__proto__", text: ["x"], state: 3 })).toEqual({});
  expect(connectionFilters({ text: 42, use: "use_in_mcp" })).toEqual({ text: "42", use: "use_in_mcp" });
});

test("filters become the query of the API", () => {
  expect(connectionQuery({ tag: "gpu", use: "use_in_livekit", state: "inactive" })).toEqual({ tag: ["gpu"], use_in_livekit: true, is_active: false });
});

test("only what was changed is sent, and only what both have changed is asked about", () => {
  const begun = { name: "a", pool: "x", tags: ["t"], priority: 1 } as Connection;
  const mine = changes({ name: "a", pool: "y", tags: ["t"], priority: 2 }, begun);
  expect(mine).toEqual({ pool: "y", priority: 2 });
  expect(conflicts(mine, begun, { ...begun, pool: "z", name: "b" })).toEqual([{ field: "pool", mine: "y", theirs: "z" }]);
  expect(conflicts(mine, begun, { ...begun, pool: "y" })).toEqual([]);
});

test("a CSV file quotes its cells, and runs no formula", () => {
  expect(csv([["a,b", '"', 1.5], ["=1+1", "-x", -2]])).toBe('\ufeff"a,b","""",1.5\r\n\'=1+1,\'-x,-2\r\n');
  const names = ["=cmd|' /C calc'!A0", " =1+1", "\n=1+1", "\t=1", "\r@SUM(1)", "＝1+1", "a;=1+1", "two\nlines", "–", ""];
  const cells = ["'=cmd|' /C calc'!A0", "' =1+1", "\"'\n=1+1\"", "\"'\t=1\"", "\"'\r@SUM(1)\"", "'＝1+1", '"a;=1+1"', '"two\nlines"', "–", ""];
  expect(csv(names.map((name) => [name]))).toBe("\ufeff" + cells.map((one) => `${one}\r\n`).join(""));
});

test("money below a hundredth has its first digits", () => {
  expect([cost(1.5), cost(0.25), cost(0.0000161), cost(0), cost(undefined)]).toEqual(["1.50", "0.25", "0.000016", "0.00", "0.00"]);
});

test("times are written for people", () => {
  expect([seconds(0.1234), seconds(1.5), seconds(12), seconds(null)]).toEqual(["123 ms", "1.50 s", "12.0 s", "–"]);
  expect(length("2026-05-04T10:00:00Z", Date.parse("2026-05-04T10:01:05Z"))).toBe("1:05");
});

test("a figure leads to its calls, but not that of programs", () => {
  const now = Date.parse("2026-05-04T10:20:00Z");
  expect(callsBehind({ pool: "night", connection: "a" }, now, { role: "hedge" })).toEqual({
    started_from: "2026-05-03T11:00:00.000Z",
    pool: "night",
    connection_id: "a",
    role: "hedge",
  });
  expect(callsBehind({ integration: "mcp" }, now, {})).toBeNull();
});

test("a chart has a bar for each hour, also for those without attempts", () => {
  const found = [{ at: "2026-05-04T11:00:00Z", figures: { attempts: 4, failed: 1, ttft: { p50: 0.2, p95: 0.5 } } }] as unknown as Group[];
  const made = bars(found, "2026-05-04T10:00:00Z", "2026-05-04T13:00:00Z", "hour", "attempts");
  expect(made.map(({ whole, part }) => [whole, part])).toEqual([[0, 0], [4, 1], [0, 0]]);
  expect(bars(found, "2026-05-04T11:00:00Z", "2026-05-04T12:00:00Z", "hour", "first")[0]).toMatchObject({ whole: 0.5, part: 0.2 });
});

test("filters of calls that nobody knows are left out", () => {
  expect(callFilters({ role: "toaster", outcome: "failed", started_from: "yesterday", avoided_silence: "yes" })).toEqual({ outcome: "failed" });
  expect(callFilters({ avoided_silence: true, started_to: "2026-05-04T10:00:00Z" })).toEqual({ avoided_silence: true, started_to: "2026-05-04T10:00:00Z" });
});

const tried = (connection: string, role: string, outcome: string, started: number, first_word: number | null, duration: number) => ({
  connection, model: "m", role, outcome, started, first_word, duration, delivered: outcome === "won",
});

/** A turn of 0.3 s until the request, a first word from a hedge after 0.65 s, and 0.25 s until its sound. */
const SLOW = {
  first_word: 0.65,
  times: { e2e_latency: 1.2, end_of_turn_delay: 0.3 },
  connection: "cloud",
  attempts: [tried("cellar", "first", "cancelled", 0, null, 0.65), tried("cloud", "hedge", "won", 0.25, 0.4, 2)],
};

function silence(receipt: Record<string, unknown>, changed: Partial<Setting>) {
  const turn = turnOf(item(receipt));
  if (!turn) throw new Error("no turn");
  const { from, to, by } = estimate(turn, { ...settingOf(turn, null), ...changed });
  return [Math.round(from * 100) / 100, Math.round(to * 100) / 100, by];
}

test("with its own setting an estimate is what was", () => {
  expect(silence(SLOW, {})).toEqual([1.2, 1.2, "reply"]);
});

test("an earlier hedge, another first connection and no hedge each cost another silence", () => {
  expect(silence(SLOW, { hedgeAfter: 0.05 })).toEqual([1, 1, "reply"]);
  expect(silence(SLOW, { first: "cloud" })).toEqual([0.95, 0.95, "reply"]);
  // The first was cut off: it may have answered before a late hedge, or never.
  expect(silence(SLOW, { hedgeAfter: 1 })).toEqual([1.2, 1.95, "reply"]);
  expect(silence(SLOW, { hedgeAfter: null })).toEqual([1.2, Infinity, "unknown"]);
  expect(silence(SLOW, { hedgeAfter: null, fillerAfter: 0.8 })).toEqual([0.8, 0.8, "filler"]);
});

test("a connection that fails has the next one asked in its place, whatever the setting", () => {
  const failed = { ...SLOW, attempts: [tried("attic", "first", "unreachable", 0, null, 0.1), tried("cloud", "failover", "won", 0.1, 0.4, 2)], first_word: 0.5, times: { e2e_latency: 1, end_of_turn_delay: 0.3 } };
  expect(silence(failed, {})).toEqual([1, 1, "reply"]);
  expect(silence(failed, { first: "cloud" })).toEqual([0.9, 0.9, "reply"]);
  const lost = { ...failed, attempts: [tried("attic", "first", "unreachable", 0, null, 0.1)] };
  expect(silence(lost, {})).toEqual([Infinity, Infinity, "unknown"]);
});

test("trials, resumes and second attempts at a connection race for no first word", () => {
  const turn = turnOf(item({ ...SLOW, attempts: [...SLOW.attempts, tried("spare", "resume", "won", 3, 0.1, 1), tried("cloud", "retry", "won", 4, 0.1, 1)] }));
  expect(racers(turn!).map(({ connection }) => connection)).toEqual(["cellar", "cloud"]);
});

test("a first word after the first sound was covered by a filler", () => {
  const turn = turnOf(item({ ...SLOW, first_word: 2 }));
  expect(turn?.hadFiller).toBe(true);
  expect(turn?.parts.reduce((sum, part) => sum + part.seconds, 0)).toBeCloseTo(1.2);
});

test("the server's time counts where the browser's clock is wrong", () => {
  compareClock("Fri, 01 Jun 2001 00:00:00 GMT");
  expect(Math.abs(now() - Date.UTC(2001, 5, 1))).toBeLessThan(10_000);
  compareClock(null);
  compareClock("no date");
  expect(new Date(now()).getUTCFullYear()).toBe(2001);
  compareClock(new Date().toUTCString());
  expect(Math.abs(now() - Date.now())).toBeLessThan(10);
});

test("a next page that is refused is asked for once, and again when the list is read anew", async () => {
  const asked: number[] = [];
  let isRefused = true;
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const list = new InfiniteQueryObserver(client, {
    queryKey: ["list"],
    queryFn: async ({ pageParam: offset }) => {
      asked.push(offset);
      if (offset && isRefused) throw new Error("not signed in");
      return { offset, limit: 200, total: 300 };
    },
    initialPageParam: 0,
    getNextPageParam: nextOffset,
  });
  // Its end is always in view.
  const leave = list.subscribe((found) => asked.length < 10 && nextPage(found)?.());
  await vi.waitUntil(() => list.getCurrentResult().isError, { timeout: 20_000 });
  isRefused = false;
  await list.refetch();
  await vi.waitUntil(() => list.getCurrentResult().data?.pages.length === 2, { timeout: 20_000 });
  leave();
  expect(asked).toEqual([0, 200, 0, 200]);
});
