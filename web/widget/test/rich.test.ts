// @vitest-environment happy-dom
import { expect, test } from "vitest";

import { rich } from "../src/rich";

function markup(text: string): string {
  const box = document.createElement("div");
  box.append(...rich(text));
  return box.innerHTML.replaceAll(' dir="auto"', "").replaceAll(' target="_blank" rel="noopener noreferrer nofollow"', "");
}

function links(text: string): (string | null)[] {
  const box = document.createElement("div");
  box.append(...rich(text));
  return [...box.querySelectorAll("a")].map((each) => each.getAttribute("href"));
}

test("paragraphs, lines, lists, bold words and code", () => {
  expect(markup("Hello.\n\nWe have:\n- **black** tea\n- green tea\n\n1. Order\n2. Pay `now`\nBye\nnow")).toBe(
    "<p>Hello.</p><p>We have:</p><ul><li><strong>black</strong> tea</li><li>green tea</li></ul>" +
      '<ol start="1"><li>Order</li><li>Pay <code>now</code></li></ol><p>Bye<br>now</p>',
  );
});

test("a list has one direction, so that its marks are on the side of its words", () => {
  const [list] = rich("- شاي أسود\n- شاي أخضر");
  expect(list?.getAttribute("dir")).toBe("auto");
  expect(list?.querySelector("[dir]")).toBe(null); // an item with a direction of its own would not count for the list's
});

test("addresses are links, without the sentence's own marks", () => {
  expect(markup("See https://shop.example/tea, or mailto:tea@shop.example.")).toBe(
    '<p>See <a href="https://shop.example/tea">https://shop.example/tea</a>, or ' +
      '<a href="mailto:tea@shop.example">tea@shop.example</a>.</p>',
  );
});

test("a link with other words names its host", () => {
  expect(markup("[https://bank.example](https://evil.example/x)")).toBe(
    '<p><a href="https://evil.example/x"><bdi>https://bank.example</bdi> (<bdi dir="ltr">evil.example</bdi>)</a></p>',
  );
});

test("an address in letters that look like others names its host as it is", () => {
  const [shop] = rich("https://shоp.example"); // a Cyrillic o
  expect(shop?.textContent).toBe("https://shоp.example (xn--shp-ted.example)");
  const [hidden] = rich("https://shоp.example/?https://xn--shp-ted.example");
  expect(hidden?.textContent).toBe("https://shоp.example/?https://xn--shp-ted.example (xn--shp-ted.example)");
  expect(rich("HTTPS://Shop.Example/Tea")[0]?.textContent).toBe("HTTPS://Shop.Example/Tea");
});

test("every link opens apart from the page", () => {
  const [first] = rich("https://shop.example");
  const anchor = first?.querySelector("a");
  expect([anchor?.target, anchor?.rel]).toEqual(["_blank", "noopener noreferrer nofollow"]);
});

test("pictures are shown as their words", () => {
  expect(markup("![a pot](https://shop.example/pot.png)")).toBe("<p>a pot</p>");
});

test.each([
  "[a](javascript:alert(1))",
  "[a](JaVaScRiPt:alert)",
  "[a](java\tscript:alert)",
  "[a](data:text/html,x)",
  "[a](vbscript:x)",
  "[a](file:///etc/passwd)",
  "[a](blob:https://shop.example/x)",
  "[a](//evil.example)",
  "[a](/path)",
  "[a](https://user:password@evil.example)",
  "javascript:alert(1)",
  "<a href='javascript:alert(1)'>x</a>",
])("no link comes of %s", (text) => {
  expect(links(text)).toEqual([]);
  expect(rich(text).map((each) => each.textContent).join("")).toContain(text.includes("\t") ? "script" : text);
});

test.each(["<img src=x onerror=alert(1)>", "<b>12</b>", "<svg/onload=alert(1)>", "&lt;b&gt;", "[x](https://a\"onclick=alert(1))"])(
  "HTML stays text: %s",
  (text) => {
    const box = document.createElement("div");
    box.append(...rich(text));
    expect([...box.querySelectorAll("*")].map((each) => each.tagName).filter((tag) => tag !== "P" && tag !== "A")).toEqual([]);
    expect(box.querySelector("[onclick], [onerror], [onload]")).toBeNull();
  },
);

test("a text of marks alone takes no long time", () => {
  for (const piece of ["[", "[](", "**", "`", "![a](", "https://", "- - - "]) {
    expect(rich(piece.repeat(20_000)).length).toBeGreaterThan(0);
  }
}, 2_000);
