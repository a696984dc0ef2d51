/** Opens and closes the panel: a dialog beside the page, and on a phone one over all of it, with the focus inside. */

/** The window of a phone: as in style/widget.css. */
const PHONE = "(max-width: 480px), (max-height: 480px)";

/** Safari before 17 cannot. */
const CAN_POP_OVER = "popover" in HTMLElement.prototype;

export interface PanelEvents {
  opened(): void;
  closed(): void;
}

export class Panel {
  readonly #box: HTMLDialogElement;
  readonly #button: HTMLElement;
  readonly #events: PanelEvents;
  readonly #phone = matchMedia(PHONE);
  #isOpen = false;

  constructor(box: HTMLDialogElement, button: HTMLElement, close: HTMLElement, events: PanelEvents) {
    this.#box = box;
    this.#button = button;
    this.#events = events;
    button.addEventListener("click", () => (this.#isOpen ? this.close() : this.open()));
    close.addEventListener("click", () => this.close());
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.stopPropagation();
      event.preventDefault(); // the browser would close a dialog without us
      this.close();
    });
    // The back gesture of a phone.
    box.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
  }

  /** Fits the panel to the window until the signal. */
  listen(signal: AbortSignal): void {
    this.#phone.addEventListener("change", () => this.#isOpen && this.#show(), { signal });
    // A phone's keyboard covers the window, which stays as high as it is.
    for (const name of ["resize", "scroll"]) window.visualViewport?.addEventListener(name, () => this.#fit(), { signal });
  }

  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#show();
    this.#button.setAttribute("aria-expanded", "true");
    this.#events.opened();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#hide();
    this.#button.setAttribute("aria-expanded", "false");
    this.#button.focus();
    this.#events.closed();
  }

  /** Shows an open panel again that was moved within the page: moving has closed it. */
  rise(): void {
    if (this.#isOpen) this.#show();
  }

  /** Shows the dialog above everything of the page, whose layers it need not know. */
  #show(): void {
    const box = this.#box;
    const focused = (box.getRootNode() as ShadowRoot).activeElement;
    this.#hide();
    if (this.#phone.matches) {
      box.showModal();
    } else if (CAN_POP_OVER) {
      box.popover = "manual";
      box.showPopover();
    } else {
      box.show();
    }
    this.#fit();
    if (focused instanceof HTMLElement && box.contains(focused)) focused.focus();
  }

  #hide(): void {
    const box = this.#box;
    if (box.open) box.close();
    if (!CAN_POP_OVER || box.popover === null) return;
    box.hidePopover();
    box.popover = null;
  }

  #fit(): void {
    const seen = window.visualViewport;
    if (!seen) return;
    this.#box.style.setProperty("--pw-top", `${seen.offsetTop}px`);
    this.#box.style.setProperty("--pw-height", `${seen.height}px`);
  }
}
