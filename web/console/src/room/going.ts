/** The calls by voice that go on in this window. */

import { text } from "../text";

const calls = new Set<() => boolean>();

/** Registers a part of the page that calls; `goesOn` tells whether its call goes on. Returns what ends that. */
export function register(goesOn: () => boolean): () => void {
  calls.add(goesOn);
  return () => void calls.delete(goesOn);
}

/** Returns whether nobody talks by voice, or the person who does wants to hang up: then they are asked. */
export const mayHangUp = (): boolean => ![...calls].some((goesOn) => goesOn()) || confirm(text.talk.leave);
