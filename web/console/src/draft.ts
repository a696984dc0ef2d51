/** Holds what is typed in a form, apart from the record that it changes. */

import { useState } from "react";

import { Problem } from "./api/client";
import { changes } from "./values";

/** Tells that somebody else has stored the record since: their version is to be merged. */
export const isStale = (error: Error) => error instanceof Problem && error.type === "/problems/stale-version";

/** `begun`: the record as it was when typing began. `theirs`: a newer version that others have stored. */
export function useDraft<R extends object, D extends object>(stored: R, typed: D) {
  const [begun, setBegun] = useState(stored);
  const [draft, setDraft] = useState(typed);
  const [theirs, setTheirs] = useState<R | null>(null);
  return {
    begun,
    setBegun,
    draft,
    setDraft,
    theirs,
    setTheirs,
    /** The fields that differ from the record. */
    mine: changes(draft, begun),
    value: <K extends keyof D>(field: K) => (field in draft ? draft[field] : (begun as Record<PropertyKey, unknown>)[field]) as D[K],
    set: (changed: Partial<D>) => setDraft((before) => ({ ...before, ...changed })),
    /** Goes on from their version, with the fields that were chosen of both. */
    merge: (merged: D) => {
      if (theirs) setBegun(theirs);
      setDraft(merged);
      setTheirs(null);
    },
  };
}
