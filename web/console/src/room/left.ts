/** Tells whether a change of the page's address leaves what is talked with. Pure. */

interface Place {
  pathname: string;
  search: object;
}

/** Returns whether the page or, where a part of its address names that, what is talked with is another. */
export function isLeft(from: Place, to: Place, chosenBy?: string): boolean {
  const chosen = ({ search }: Place) => (chosenBy ? (search as Record<string, unknown>)[chosenBy] : undefined);
  return from.pathname !== to.pathname || chosen(from) !== chosen(to);
}
