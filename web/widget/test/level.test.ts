import { expect, test } from "vitest";

import { rootMeanSquare, visible } from "../src/level";

test("silence measures nothing and a square wave its height", () => {
  expect(rootMeanSquare(new Float32Array(8))).toBe(0);
  expect(rootMeanSquare(new Float32Array([0.5, -0.5, 0.5, -0.5]))).toBeCloseTo(0.5);
  expect(rootMeanSquare(new Float32Array())).toBe(0);
});

test("quiet speech is clearly visible and a shout is not more than full", () => {
  expect(visible(0)).toBe(0);
  expect(visible(0.03)).toBeGreaterThan(0.3);
  expect(visible(0.9)).toBe(1);
});
