/** The server's time: a browser's clock may be wrong, and what the API is asked for must lie in the server's past. */

/** ms; the header `Date` counts whole seconds, and an answer takes a while to arrive. */
const TOLERATED = 60_000;

let ahead = 0;

/** Returns the server's time in ms since 1970, as of its last answer. */
export const now = (): number => Date.now() + ahead;

/** Compares the browser's clock with the header `Date` of an answer. */
export function compareClock(date: string | null): void {
  const difference = date === null ? Number.NaN : Date.parse(date) - Date.now();
  if (!Number.isNaN(difference)) ahead = Math.abs(difference) < TOLERATED ? 0 : difference;
}
