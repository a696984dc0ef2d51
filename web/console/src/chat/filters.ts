import { clean, word, type Raw } from "../search";

/** What the studio shows, as its address has it: a chat, one beside it, a search, a turn of a call. */
export function studioView(raw: Raw) {
  const item = Number(raw.item);
  return clean({
    chat: word(raw.chat),
    beside: word(raw.beside),
    text: word(raw.text),
    call: word(raw.call),
    item: Number.isSafeInteger(item) && item > 0 ? item : undefined,
  });
}

export type StudioView = ReturnType<typeof studioView>;
/** The name in an address of a chat that is not stored yet. */
export const FRESH = "new";
