import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Heartbeat } from "../src/heartbeat";

/** Milliseconds within which a loss must be shown. */
const SOON = 3000;

let answers: boolean;
let changes: boolean[];
let heartbeat: Heartbeat;

beforeEach(() => {
  vi.useFakeTimers();
  answers = true;
  changes = [];
  heartbeat = new Heartbeat(
    () => (answers ? Promise.resolve() : new Promise(() => undefined)),
    (reached) => changes.push(reached),
  );
  heartbeat.start();
});

afterEach(() => {
  heartbeat.stop();
  vi.useRealTimers();
});

test("as long as answers come, nothing is reported", async () => {
  await vi.advanceTimersByTimeAsync(60_000);
  expect(changes).toEqual([]);
});

test.each([0, 300, 699, 701])("a loss %d ms after an answer is noticed within three seconds, once", async (after) => {
  await vi.advanceTimersByTimeAsync(7000 + after);
  answers = false;
  await vi.advanceTimersByTimeAsync(SOON);
  expect(changes).toEqual([false]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(changes).toEqual([false]);
});

test("one answer that is late is no loss", async () => {
  await vi.advanceTimersByTimeAsync(7000);
  answers = false;
  await vi.advanceTimersByTimeAsync(1300);
  answers = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(changes).toEqual([]);
});

test("the return is noticed", async () => {
  answers = false;
  await vi.advanceTimersByTimeAsync(10_000);
  answers = true;
  await vi.advanceTimersByTimeAsync(SOON);
  expect(changes).toEqual([false, true]);
});

test("a ping that is refused is no answer", async () => {
  heartbeat.stop();
  heartbeat = new Heartbeat(
    () => Promise.reject(new Error("no way there")),
    (reached) => changes.push(reached),
  );
  heartbeat.start();
  await vi.advanceTimersByTimeAsync(SOON);
  expect(changes).toEqual([false]);
});

test("after it was stopped nothing is reported", async () => {
  answers = false;
  await vi.advanceTimersByTimeAsync(1000);
  heartbeat.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(changes).toEqual([]);
});
