/** Lets a call go on by itself when its page is left for the next one of the site, or loaded again. */

/** Time (ms) from one page to the next in which it does. */
const WITHIN_MS = 30_000;
/** Event of a page that is left. With it the call hangs up: {@link LeftCall.watch} comes before the call is made. */
const LEFT = "pagehide";

/** Notes, for the next page of this tab, that a page is left in the middle of a call. */
export class LeftCall {
  readonly #site: () => string;
  readonly #isOn: () => boolean;

  /** `isOn`: there is a call that should go on. */
  constructor(site: () => string, isOn: () => boolean) {
    this.#site = site;
    this.#isOn = isOn;
  }

  watch(): void {
    window.addEventListener(LEFT, this.#note);
  }

  stop(): void {
    window.removeEventListener(LEFT, this.#note);
  }

  readonly #note = (): void => {
    if (!this.#isOn()) return;
    try {
      sessionStorage.setItem(key(this.#site()), String(Date.now()));
    } catch {
      // The visitor begins the call again.
    }
  };
}

/** Returns whether the page before was left a moment ago in the middle of a call; tells so once. */
export function takeCall(site: string): boolean {
  try {
    const left = Number(sessionStorage.getItem(key(site)) ?? 0);
    sessionStorage.removeItem(key(site));
    return Date.now() - left < WITHIN_MS;
  } catch {
    return false;
  }
}

function key(site: string): string {
  return `patchbay.call.${site}`;
}
