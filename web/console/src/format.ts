/** Writes figures for people. Pure. */

import { text } from "./text";

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const tiny = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (value: number | undefined) => whole.format(value ?? 0);
export const compact = (value: number | undefined) => short.format(value ?? 0);
/** Writes an amount of money; one below a hundredth with its first two digits. */
export const cost = (value: number | undefined) => (value && Math.abs(value) < 0.01 ? tiny : money).format(value ?? 0);

/** Writes a time of the API for people; a dash where there is none. */
export function time(iso: string | null | undefined): string {
  return iso ? moment.format(new Date(iso)) : text.none;
}

/** Writes seconds: milliseconds below one second. */
export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return text.none;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

/** Writes the length of a call, as minutes and seconds. */
export function length(from: string, until: number): string {
  return duration((until - Date.parse(from)) / 1000);
}

/** Writes seconds as minutes and seconds. */
export function duration(value: number): string {
  const all = Math.max(0, Math.round(value));
  return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`;
}

/** A text that a spreadsheet may take for a formula: also behind blanks, and in the wide signs of East Asian keyboards. */
const FORMULA = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/;

/**
 * Makes a CSV file of rows. A cell that a spreadsheet would take for a formula begins with a quote sign. One with a
 * separator of any country is quoted. The mark at the start has Excel read UTF-8.
 */
export function csv(rows: (string | number)[][]): string {
  const cell = (value: string | number) => {
    const safe = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
    return /[",;\t\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return "\ufeff" + rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
