/** Shows what stands between the conversation and the controls at times: the queue, the rating, the consent. */

import { html, part } from "./dom";
import { fill } from "./language";
import { rich } from "./rich";
import type { Texts } from "./texts/en";

/** A visitor who waits for a line. */
export interface Wait {
  /** Place in the queue, from 1; 0 if it is not known. */
  readonly place: number;
  /** Whether a message can be left in place of waiting. */
  readonly takesMessages: boolean;
}

/** The place in the queue, and the forms for a message and for a call back. */
export class Queue {
  readonly #root: HTMLElement;
  readonly #texts: Texts;

  /** `leave` sends a message in place of waiting. */
  constructor(root: HTMLElement, texts: Texts, leave: (text: string, contact: string) => void) {
    this.#root = root;
    this.#texts = texts;
    const [message, callBack] = [this.#form(".pb-leave"), this.#form(".pb-call-back")];
    this.#find("#leave-open").addEventListener("click", () => this.#open(message, "#leave-text"));
    this.#find("#call-back-open").addEventListener("click", () => this.#open(callBack, "#call-back-number"));
    for (const keep of root.querySelectorAll(".pb-keep")) keep.addEventListener("click", () => this.#close());
    message.addEventListener("submit", (event) => {
      event.preventDefault();
      const [text, contact] = [this.#value("#leave-text"), this.#value("#leave-contact")];
      if (text && contact) leave(text, contact);
    });
    callBack.addEventListener("submit", (event) => {
      event.preventDefault();
      const number = this.#value("#call-back-number");
      if (number) leave(texts.pleaseCallBack, number);
    });
  }

  /** Shows the wait; null: there is none, and what was typed for it is gone. */
  show(wait: Wait | null): void {
    this.#card.hidden = wait === null;
    if (!wait) {
      this.#close();
      for (const form of [this.#form(".pb-leave"), this.#form(".pb-call-back")]) form.reset();
      return;
    }
    const place = wait.place === 1 ? this.#texts.next : fill(this.#texts.place, { place: wait.place });
    this.#find("#place").textContent = wait.place > 0 ? `${this.#texts.busy} ${place}` : this.#texts.busy;
    if (!wait.takesMessages) this.#close();
    this.#find(".pb-instead").hidden = !wait.takesMessages || this.#isOpen;
  }

  /** Holds the forms while a message is sent. */
  sending(sending: boolean): void {
    for (const button of this.#card.querySelectorAll<HTMLButtonElement>("form button")) button.disabled = sending;
  }

  get #card(): HTMLElement {
    return this.#find(".pb-queue");
  }

  get #isOpen(): boolean {
    return this.#card.querySelector("form:not([hidden])") !== null;
  }

  #open(form: HTMLElement, field: string): void {
    form.hidden = false;
    this.#find(".pb-instead").hidden = true;
    this.#find(field).focus();
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#form(".pb-leave").hidden = true;
    this.#form(".pb-call-back").hidden = true;
    this.#find(".pb-instead").hidden = false;
    this.#find("#leave-open").focus();
  }

  #form(selector: string): HTMLFormElement {
    return part<HTMLFormElement>(this.#root, selector);
  }

  #value(selector: string): string {
    return part<HTMLInputElement>(this.#root, selector).value.trim();
  }

  #find(selector: string): HTMLElement {
    return part(this.#root, selector);
  }
}

/** The question how the conversation was. */
export class Rating {
  readonly #form: HTMLFormElement;

  /** `rate` is called with 1 to 5 stars and a comment, which may be empty. */
  constructor(root: HTMLElement, rate: (stars: number, comment: string) => void) {
    const form = part<HTMLFormElement>(root, ".pb-rating");
    this.#form = form;
    form.addEventListener("change", () => {
      part(form, ".pb-comment").hidden = this.#stars === 0;
      for (const label of form.querySelectorAll<HTMLElement>(".pb-star")) {
        const input = part<HTMLInputElement>(label, "input");
        label.dataset.lit = String(Number(input.value) <= this.#stars);
      }
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#stars > 0) rate(this.#stars, part<HTMLTextAreaElement>(form, "#comment").value.trim());
    });
    part(form, "#rating-skip").addEventListener("click", () => this.show(false));
  }

  show(open: boolean): void {
    this.#form.hidden = !open;
    if (open) return;
    this.#form.reset();
    this.#form.dispatchEvent(new Event("change"));
  }

  get #stars(): number {
    return Number(this.#form.querySelector<HTMLInputElement>("input:checked")?.value ?? 0);
  }
}

/** Asks for consent: everything else of the conversation waits behind it. `done` is called with the answer. */
export function askConsent(root: HTMLElement, text: string, done: (agreed: boolean) => void): void {
  const card = part(root, ".pb-consent");
  part(card, "#consent-text").replaceChildren(...rich(text));
  const answer = (agreed: boolean) => {
    if (agreed) reveal(root, card);
    done(agreed);
  };
  part(card, "#agree").onclick = () => answer(true);
  part(card, "#decline").onclick = () => answer(false);
  card.hidden = false;
  for (const other of root.children) if (other !== card) other.toggleAttribute("inert", true);
}

function reveal(root: HTMLElement, card: HTMLElement): void {
  card.hidden = true;
  for (const other of root.children) other.toggleAttribute("inert", false);
}

/** Makes the options of the list of microphones. */
export function microphoneOptions(found: readonly MediaDeviceInfo[], chosen: string, usual: string): readonly HTMLElement[] {
  const named = found.filter((each) => each.deviceId && each.deviceId !== "default" && each.label);
  const options = [html("option", { value: "" }, usual)];
  for (const { deviceId, label } of named) options.push(html("option", { value: deviceId }, label));
  const select = options.find((option) => option.getAttribute("value") === chosen) ?? options[0];
  select?.toggleAttribute("selected", true);
  return options;
}
