import { expect, test } from "vitest";

import { chooseLanguage, ENGLISH, fill, loadLanguage, noticeText } from "../src/language";
import { trouble } from "../src/words";

const TAGS = ["ar", "de", "es", "fr", "he", "it", "ja", "nl", "pl", "pt", "zh"];

function places(text: string): string[] {
  return (text.match(/\{\w+\}/g) ?? []).sort();
}

test("the first wanted language that there is, is chosen", () => {
  expect(chooseLanguage(["xx", "DE-at", "fr"])).toBe("de");
  expect(chooseLanguage([null, undefined, "", "pt_BR"])).toBe("pt");
  expect(chooseLanguage(["en-GB", "de"])).toBe("en");
  expect(chooseLanguage(["constructor", "tlh"])).toBe("en");
});

test("a language that there is not is English", async () => {
  expect(await loadLanguage("tlh")).toBe(ENGLISH);
  expect(await loadLanguage("constructor")).toBe(ENGLISH);
});

test("Arabic and Hebrew run from right to left", async () => {
  const directions = await Promise.all(["ar", "he", "de"].map(async (tag) => (await loadLanguage(tag)).direction));
  expect(directions).toEqual(["rtl", "rtl", "ltr"]);
});

test.each(TAGS)("%s has every text, with the same places to fill in", async (tag) => {
  const { texts } = await loadLanguage(tag);
  expect(Object.keys(texts).sort()).toEqual(Object.keys(ENGLISH.texts).sort());
  for (const [key, english] of Object.entries(ENGLISH.texts)) {
    const text = texts[key as keyof typeof texts];
    expect(text.trim(), key).not.toBe("");
    expect(places(text), key).toEqual(places(english));
  }
});

test.each(TAGS)("%s is no copy of English", async (tag) => {
  const { texts } = await loadLanguage(tag);
  const same = Object.entries(ENGLISH.texts).filter(([key, text]) => texts[key as keyof typeof texts] === text);
  expect(same.length).toBeLessThan(3);
});

test("times to wait are in the language's own words", async () => {
  expect(noticeText(trouble("all-busy", "", 10), await loadLanguage("de"))).toContain("10 Sekunden");
});

test("a place that has no value stays", () => {
  expect(fill("{a} of {b}", { a: 1 })).toBe("1 of {b}");
});
