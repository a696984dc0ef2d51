// @vitest-environment happy-dom
import { expect, test } from "vitest";

import { LeftCall, takeCall } from "../src/leaving";

test("a page that only may be left, as at a link to an e-mail address, leaves no call", () => {
  const left = new LeftCall(
    () => "site_1",
    () => true,
  );
  left.watch();
  window.dispatchEvent(new Event("beforeunload"));
  expect(takeCall("site_1")).toBe(false);
  window.dispatchEvent(new Event("pagehide"));
  expect([takeCall("site_1"), takeCall("site_1")]).toEqual([true, false]);
  left.stop();
  window.dispatchEvent(new Event("pagehide"));
  expect(takeCall("site_1")).toBe(false);
});
