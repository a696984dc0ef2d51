/** Tells a press of the talk button from holding it, for pointers, keys and screen readers. */

const KEYS = [" ", "Enter"];

export class TalkButton {
  /** True if the button is to be held while one talks. */
  isHeld = false;
  #isDown = false;
  #isKey = false;
  readonly #hold: (down: boolean) => void;

  /** `press` is called for each press, or `hold` with each change while the button is to be held. */
  constructor(button: HTMLElement, press: () => void, hold: (down: boolean) => void) {
    this.#hold = hold;
    button.addEventListener("click", (event) => {
      if (!this.isHeld) press();
      // A screen reader clicks without a pointer: each click changes sides.
      else if (event.detail === 0 && !this.#isKey) this.#set(!this.#isDown);
    });
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.#set(true);
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave", "blur"]) button.addEventListener(name, () => this.#set(false));
    button.addEventListener("keydown", (event) => {
      if (!this.isHeld || !KEYS.includes(event.key)) return;
      event.preventDefault(); // no click comes of it
      this.#isKey = true;
      this.#set(true);
    });
    button.addEventListener("keyup", (event) => {
      if (!this.isHeld || !KEYS.includes(event.key)) return;
      event.preventDefault();
      this.#isKey = false;
      this.#set(false);
    });
    button.addEventListener("contextmenu", (event) => this.isHeld && event.preventDefault()); // a long touch
  }

  #set(down: boolean): void {
    if (!this.isHeld || down === this.#isDown) return;
    this.#isDown = down;
    this.#hold(down);
  }
}
