/** Builds elements without parsing markup, which pages with Trusted Types forbid. */

type Attributes = Readonly<Record<string, string | true>>;

const SVG = "http://www.w3.org/2000/svg";

/** Makes an HTML element; `true` sets an attribute without a value. */
export function html(tag: string, attributes: Attributes = {}, ...children: readonly (Node | string)[]): HTMLElement {
  return filled(document.createElement(tag), attributes, children);
}

/** Makes an SVG element. */
export function svg(tag: string, attributes: Attributes = {}, ...children: readonly Node[]): SVGElement {
  return filled(document.createElementNS(SVG, tag) as SVGElement, attributes, children);
}

function filled<Kind extends Element>(element: Kind, attributes: Attributes, children: readonly (Node | string)[]): Kind {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value === true ? "" : value);
  element.append(...children);
  return element;
}

/** Returns the element in the markup that a selector names; one that is missing is a bug. */
export function part<Kind extends HTMLElement = HTMLElement>(root: ParentNode, selector: string): Kind {
  const found = root.querySelector<Kind>(selector);
  if (!found) throw new Error(`the markup has no ${selector}`);
  return found;
}
