/** What a visitor does with what was said: rate it, save it as a file, delete it. */

import { html, part } from "./dom";

/** Callbacks for what is chosen. */
export interface RecordActions {
  openRating(): void;
  download(): void;
  /** The visitor is sure. */
  forget(): void;
}

/** The buttons for it in the menu, and the question before anything is deleted. */
export class Records {
  readonly #root: HTMLElement;

  constructor(root: HTMLElement, actions: RecordActions) {
    this.#root = root;
    this.#press("#rating-open", actions.openRating);
    this.#press("#download", actions.download);
    this.#press("#forget", () => this.#ask(true));
    this.#press("#forget-not", () => this.#ask(false));
    this.#press("#forget-now", () => {
      this.#ask(false);
      actions.forget();
    });
    this.#question.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#ask(false);
    });
  }

  /** Shows what there is to choose. */
  show({ saved, rated }: { readonly saved: boolean; readonly rated: boolean }): void {
    part(this.#root, ".pb-menu-more").hidden = !saved;
    part(this.#root, "#rating-open").hidden = !rated;
    if (!saved) this.#question.hidden = true;
  }

  /** Has the browser save a text. */
  save(text: string): void {
    const address = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    html("a", { href: address, download: "conversation.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  get #question(): HTMLElement {
    return part(this.#root, ".pb-forget");
  }

  #press(selector: string, action: () => void): void {
    part(this.#root, selector).addEventListener("click", () => {
      part<HTMLDetailsElement>(this.#root, ".pb-menu").open = false;
      action();
    });
  }

  #ask(open: boolean): void {
    this.#question.hidden = !open;
    part(this.#root, open ? "#forget-not" : "#menu").focus();
  }
}
