import { clean, oneOf, word, type Raw } from "../search";
import { text } from "../text";

/** The filters and the order of the list of connections, as its address has them. */
export function connectionFilters(raw: Raw) {
  const words = text.connections;
  return clean({
    text: word(raw.text),
    tag: word(raw.tag),
    pool: word(raw.pool),
    type: oneOf(raw.type, text.editor.types),
    use: oneOf(raw.use, words.uses),
    state: oneOf(raw.state, words.states),
    sort: oneOf(raw.sort, words.sorts),
    order: oneOf(raw.order, { desc: true }),
  });
}

export type ConnectionFilters = ReturnType<typeof connectionFilters>;

/** Returns the query of the API for these filters. */
export function connectionQuery(filters: ConnectionFilters) {
  return clean({
    text: filters.text,
    tag: filters.tag ? [filters.tag] : undefined,
    pool: filters.pool,
    connection_type: filters.type,
    ...(filters.use ? { [filters.use]: true } : {}),
    is_active: filters.state ? filters.state === "active" : undefined,
    sort: filters.sort,
    order: filters.order,
  });
}
