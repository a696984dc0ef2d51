/** Reads the filters of a list from its address. What is not understood is left out. Pure. */

export type Raw = Record<string, unknown>;

const LONGEST = 200;

export function word(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  return String(value).slice(0, LONGEST) || undefined;
}

export function oneOf<T extends string>(value: unknown, options: Readonly<Record<T, unknown>>): T | undefined {
  return typeof value === "string" && Object.hasOwn(options, value) ? (value as T) : undefined;
}

/** Leaves out what has no value, so that the address stays short. */
export function clean<T extends object>(filters: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined)) as never;
}
