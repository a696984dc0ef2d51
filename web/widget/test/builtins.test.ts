import { afterEach, expect, test } from "vitest";

import { from, stringify } from "../src/builtins";

afterEach(() => void Reflect.deleteProperty(Array.prototype, "toJSON"));

test("arrays are made of whatever has a length or can be gone through", () => {
  const map = new Map([["a", 1]]);
  expect(from(map.entries())).toEqual([["a", 1]]);
  expect(from("é👩")).toEqual(["é", "👩"]);
  expect(from({ length: 2 })).toEqual([undefined, undefined]);
  expect(from({ length: 2 }, (_, index) => index)).toEqual([0, 1]);
  expect(from(new Set([1, 2]), (each) => each * 2)).toEqual([2, 4]);
});

test("arrays are written as they are beside a library that makes texts of them", () => {
  const value = { cart: ["Tea", ["x"]], at: new Date(0), none: undefined };
  const usual = JSON.stringify(value);
  Object.assign(Array.prototype, { toJSON: () => "[spoilt]" });
  expect(JSON.stringify(value)).toContain("spoilt");
  expect(stringify(value)).toBe(usual);
  expect(stringify(["x"], null, 1)).toBe('[\n "x"\n]');
});
