/** Values of a record's fields, as forms and lists of changes have them. Pure. */

import { text } from "./text";

/** Writes a value for people. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || value === "") return text.none;
  if (typeof value === "boolean") return value ? text.yes : text.no;
  if (Array.isArray(value)) return value.map(shown).join(", ") || text.none;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** Returns the fields of `draft` that differ from the record they were begun with. */
export function changes<D extends object>(draft: D, begun: object): D {
  const before = begun as Record<string, unknown>;
  return Object.fromEntries(Object.entries(draft).filter(([name, value]) => !isSame(value, before[name]))) as D;
}

export interface Conflict {
  field: string;
  mine: unknown;
  theirs: unknown;
}

/** Returns the fields that both sides have changed, to different values. */
export function conflicts(mine: object, begun: object, theirs: object): Conflict[] {
  const [before, after] = [begun as Record<string, unknown>, theirs as Record<string, unknown>];
  return Object.entries(mine)
    .filter(([field, value]) => field in after && !isSame(after[field], before[field]) && !isSame(value, after[field]))
    .map(([field, value]) => ({ field, mine: value, theirs: after[field] }));
}
