/** Leaves an element in a page that changes around it. */

/**
 * Puts the element back when the page replaces its body, or all that is in it, as websites do that move on without a
 * reload. An element that is taken out alone stays out.
 */
export function stayInBody(element: Element): void {
  let home = element.parentElement;
  if (!home || home !== document.body) return;
  const changed = new MutationObserver((changes) => {
    const isNewBody = document.body !== null && document.body !== home;
    const isEmptied = changes.some(({ removedNodes }) => removedNodes.length > 1 && holds(removedNodes, element));
    if (element.isConnected || !(isNewBody || isEmptied)) return;
    home = document.body;
    // A page that is shown again may hold a copy of what was in it.
    for (const other of document.querySelectorAll(element.localName)) {
      const site = other.getAttribute("site");
      if (site === null || site === element.getAttribute("site")) other.remove();
    }
    home.append(element);
    observe();
  });
  const observe = () => {
    changed.disconnect();
    changed.observe(document.documentElement, { childList: true });
    changed.observe(document.body, { childList: true });
  };
  observe();
}

function holds(nodes: NodeList, wanted: Node): boolean {
  for (let index = 0; index < nodes.length; index += 1) if (nodes[index] === wanted) return true;
  return false;
}
