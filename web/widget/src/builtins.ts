/**
 * Stands in for functions of the language that an old library of the page has replaced, as Prototype.js did:
 * `Array.from` knows no Map there, and arrays have a `toJSON` that turns them into texts. The build puts these in their
 * place, in LiveKit's client as well (vite.widget.config.ts).
 */

const { stringify: native } = JSON;

/** Does what `Array.from` does. */
export function from<T, R = T>(given: Iterable<T> | ArrayLike<T>, map?: (each: T, index: number) => R): (T | R)[] {
  const all: T[] = [];
  if (Symbol.iterator in Object(given)) for (const each of given as Iterable<T>) all.push(each);
  else for (let index = 0; index < (given as ArrayLike<T>).length; index += 1) all.push((given as ArrayLike<T>)[index] as T);
  return map ? all.map((each, index) => map(each, index)) : all;
}

/** Does what `JSON.stringify` does, with arrays as they are. */
export function stringify(value: unknown, replacer?: Replacer | null, space?: string | number): string {
  return native(value, replacer ?? arraysAsTheyAre, space);
}

type Replacer = (this: unknown, key: string, value: unknown) => unknown;

function arraysAsTheyAre(this: unknown, key: string, value: unknown): unknown {
  const own: unknown = (this as Record<string, unknown>)[key];
  return Array.isArray(own) ? own : value;
}
