/** Draws the icons. */

import { html, svg } from "./dom";

const DRAWN = { fill: "none", "aria-hidden": "true" } as const;
const STROKE = { stroke: "currentColor", "stroke-linecap": "round", "stroke-linejoin": "round" } as const;

function icon(paths: string, attributes: Readonly<Record<string, string>> = {}): SVGElement {
  return svg("svg", { viewBox: "0 0 24 24", "stroke-width": "2", ...DRAWN, ...STROKE, ...attributes }, svg("path", { d: paths }));
}

export function microphoneIcon(): SVGElement {
  const drawn = icon("M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M9 21h6", { "stroke-width": "1.8" });
  drawn.append(
    svg("rect", { x: "9", y: "3", width: "6", height: "11", rx: "3", fill: "currentColor", stroke: "none" }),
    svg("path", { class: "pb-slash", d: "M4 3l16 18" }),
  );
  return drawn;
}

export function sendIcon(): SVGElement {
  return icon("M5 12h13M12.5 6l6 6-6 6", { class: "pb-arrow" });
}

export function closeIcon(): SVGElement {
  return icon("M6 6l12 12M18 6L6 18");
}

export function menuIcon(): SVGElement {
  return icon("M5 12h.01M12 12h.01M19 12h.01", { "stroke-width": "3" });
}

export function star(): SVGElement {
  return icon("M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1.1 5.9L12 16.8l-5.3 2.9 1.1-5.9L3.5 9.7l5.9-.8z", { "stroke-width": "1.5" });
}

/** Five bars that move with a voice. */
export function bars(): HTMLElement {
  return html("span", { class: "pb-bars", "aria-hidden": "true" }, ...Array.from({ length: 5 }, () => html("i")));
}

/** Two jacks and the cord between them. */
export function mark(): SVGElement {
  return svg(
    "svg",
    { class: "pb-mark", viewBox: "0 0 40 28", ...DRAWN },
    svg("path", { class: "pb-cord", d: "M8 8c0 24 24 24 24 0", "stroke-width": "3", "stroke-linecap": "round" }),
    svg("circle", { cx: "8", cy: "8", r: "5.5", stroke: "currentColor", "stroke-width": "3" }),
    svg("circle", { cx: "32", cy: "8", r: "5.5", stroke: "currentColor", "stroke-width": "3" }),
  );
}
