/** Chooses the language of the widget's own words, and loads them. */

import english, { type Texts } from "./texts/en";
import type { Microphone, Notice, Phase } from "./words";

/** A language of the widget, and its words. */
export interface Language {
  readonly tag: string;
  readonly direction: "ltr" | "rtl";
  readonly texts: Texts;
}

export const ENGLISH: Language = { tag: "en", direction: "ltr", texts: english };

/** Catalogues besides the English one, each loaded on its own. */
const CATALOGUES: Readonly<Record<string, () => Promise<{ readonly default: Texts }>>> = {
  ar: () => import("./texts/ar"),
  de: () => import("./texts/de"),
  es: () => import("./texts/es"),
  fr: () => import("./texts/fr"),
  he: () => import("./texts/he"),
  it: () => import("./texts/it"),
  ja: () => import("./texts/ja"),
  nl: () => import("./texts/nl"),
  pl: () => import("./texts/pl"),
  pt: () => import("./texts/pt"),
  zh: () => import("./texts/zh"),
};

const RIGHT_TO_LEFT = ["ar", "he"];

/** Returns the first of the wanted languages (tags, best first) that there is; else English. */
export function chooseLanguage(wanted: readonly (string | null | undefined)[]): string {
  const primary = wanted.map((tag) => (tag ?? "").trim().toLowerCase().split(/[-_]/)[0] ?? "");
  return primary.find((tag) => tag === ENGLISH.tag || Object.hasOwn(CATALOGUES, tag)) ?? ENGLISH.tag;
}

/** Loads a language; English if there is none of that tag, or it cannot be loaded. */
export async function loadLanguage(tag: string): Promise<Language> {
  const load = Object.hasOwn(CATALOGUES, tag) ? CATALOGUES[tag] : undefined;
  if (!load) return ENGLISH;
  try {
    const texts = (await load()).default;
    return { tag, direction: RIGHT_TO_LEFT.includes(tag) ? "rtl" : "ltr", texts };
  } catch {
    return ENGLISH;
  }
}

/** Puts values into the places of a text. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** Returns the words for the state of the call; nobody listens to a microphone that is not on. */
export function stateText(phase: Phase, microphone: Microphone, { texts }: Language): string {
  if (phase !== "listening" || microphone === "on" || microphone === "asking") return texts[phase];
  return microphone === "muted" ? texts.isMuted : texts.isTyping;
}

/** Returns the words of a notice. */
export function noticeText({ kind, detail, retryAfter }: Notice, { tag, texts }: Language): string {
  const text = fill(texts[kind], { time: duration(retryAfter, tag) });
  const more = kind.startsWith("microphone-") && kind !== "microphone-lost" ? texts.typingWorks : detail;
  return [text, more].filter(Boolean).join(" ");
}

/** Returns a time to wait (s; null: some) in words, such as "30 seconds" or "2 minutes". */
function duration(seconds: number | null, tag: string): string {
  const wait = seconds ?? 60;
  const [count, unit] = wait < 60 ? [wait, "second"] : wait < 3600 ? [wait / 60, "minute"] : [wait / 3600, "hour"];
  return new Intl.NumberFormat(tag, { style: "unit", unit, unitDisplay: "long" }).format(Math.ceil(count));
}
