/** The package `@patchbay/widget`: defines `<patchbay-widget>`, and says what a page may do with it. */

import type { PatchbayWidget } from "./element.js";
import type { Phase, Trouble } from "./words.js";

export { PatchbayWidget } from "./element.js";
export type { Phase, Trouble } from "./words.js";

/** A message of the conversation, once it is final. */
export interface SaidMessage {
  readonly who: "caller" | "agent";
  readonly text: string;
}

declare global {
  interface HTMLElementTagNameMap {
    "patchbay-widget": PatchbayWidget;
  }
  interface GlobalEventHandlersEventMap {
    "patchbay-open": CustomEvent<null>;
    "patchbay-close": CustomEvent<null>;
    "patchbay-phase": CustomEvent<Phase>;
    "patchbay-message": CustomEvent<SaidMessage>;
    "patchbay-trouble": CustomEvent<Trouble>;
    "patchbay-consent": CustomEvent<boolean>;
    "patchbay-rating": CustomEvent<number>;
  }
}
