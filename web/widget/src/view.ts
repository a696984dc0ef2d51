/** Shows the page and reports presses. The only module that touches the DOM. */

import { MARKUP } from "./markup";
import type { Message, Messages } from "./transcript";
import { MICROPHONE, type Microphone, type Notice, type Phase, replyNote, stateText } from "./words";

/** Callbacks for a person's actions. */
export interface Actions {
  talk(): void;
  say(text: string): void;
  leaveMessage(text: string, contact: string): void;
  hangUp(): void;
  restart(): void;
  /** Any click or key press on the page. */
  onGesture(): void;
}

const SPEAKERS = { caller: "You", agent: "Agent", page: "" } as const;

/** Distance from its end (px) within which the conversation scrolls with new messages. */
const FOLLOW_WITHIN = 80;

export class View {
  readonly #root: HTMLElement;
  readonly #shown = new Map<string, { message: Message; element: HTMLElement }>();
  #phase: Phase = "idle";
  #microphone: Microphone = "off";
  #atEnd = true;

  constructor(root: HTMLElement, actions: Actions) {
    this.#root = root;
    root.classList.add("patchbay");
    root.innerHTML = MARKUP;
    this.#connect(actions);
    this.phase("idle");
    this.microphone("off");
  }

  phase(phase: Phase): void {
    // A call runs: the hint on how to set up folds away.
    if (this.#phase === "idle" && phase !== "idle") this.#find<HTMLDetailsElement>(".pb-hint").open = false;
    this.#phase = phase;
    this.#root.dataset.phase = phase;
    this.#showState();
    const focused = document.activeElement;
    const end = this.#find("#end");
    const restart = this.#find("#restart");
    end.hidden = phase === "idle" || phase === "ended";
    restart.hidden = phase !== "ended";
    // One button replaces the other: the focus moves to the new one.
    if (focused === end && end.hidden) restart.focus();
    if (focused === restart && restart.hidden) end.focus();
  }

  microphone(state: Microphone): void {
    this.#microphone = state;
    this.#root.dataset.microphone = state;
    this.#showState();
    const talk = this.#find("#talk");
    talk.setAttribute("aria-pressed", String(state === "on"));
    this.#find("#talk-caption").textContent = MICROPHONE[state];
  }

  models(line: { text: string; hint: string }): void {
    this.#find("#models").textContent = line.text;
    const hint = this.#find<HTMLDetailsElement>(".pb-hint");
    this.#find("#hint").textContent = line.hint;
    hint.hidden = line.hint === "";
    hint.open = this.#phase === "idle";
  }

  /** Sets the language of the conversation, so that a screen reader pronounces it well. */
  language(tag: string): void {
    this.#find("#log").lang = tag;
  }

  notice(notice: Notice | null): void {
    const box = this.#find(".pb-notice");
    box.hidden = notice === null;
    box.dataset.tone = notice?.tone ?? "";
    this.#find("#notice").textContent = notice?.text ?? "";
  }

  /** Shows the loudness of both sides, 0 to 1. */
  levels(caller: number, agent: number): void {
    this.#root.style.setProperty("--caller-level", caller.toFixed(2));
    this.#root.style.setProperty("--agent-level", agent.toFixed(2));
  }

  transcript(messages: Messages): void {
    this.#find(".pb-empty").hidden = messages.length > 0;
    this.#drop(messages);
    for (const message of messages) this.#show(message);
    this.#followEnd();
  }

  /** Shows the form for a message to a caller who waits; once it is hidden, its text is gone. */
  messageForm(open: boolean): void {
    const form = this.#find<HTMLFormElement>(".pb-leave");
    if (!open && !form.hidden) form.reset();
    form.hidden = !open;
  }

  /** Holds the form for a message while one is sent. */
  messageSending(sending: boolean): void {
    this.#find<HTMLButtonElement>(".pb-leave button").disabled = sending;
  }

  clearText(): void {
    this.#find<HTMLInputElement>("#text").value = "";
  }

  #connect(actions: Actions): void {
    this.#find("#talk").addEventListener("click", () => actions.talk());
    this.#find("#end").addEventListener("click", () => actions.hangUp());
    this.#find("#restart").addEventListener("click", () => actions.restart());
    this.#find(".pb-leave").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#find<HTMLTextAreaElement>("#leave-text").value.trim();
      const contact = this.#find<HTMLInputElement>("#leave-contact").value.trim();
      if (text && contact) actions.leaveMessage(text, contact);
    });
    this.#find(".pb-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#find<HTMLInputElement>("#text").value.trim();
      if (text) actions.say(text);
    });
    const scroll = this.#find(".pb-scroll");
    scroll.addEventListener("scroll", () => {
      this.#atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOW_WITHIN;
    });
    new ResizeObserver(() => this.#followEnd()).observe(scroll);
    document.addEventListener("pointerup", () => actions.onGesture());
    document.addEventListener("keyup", () => actions.onGesture());
  }

  #showState(): void {
    this.#find("#state").textContent = stateText(this.#phase, this.#microphone);
  }

  /** Scrolls to new messages, unless the reader has scrolled back. */
  #followEnd(): void {
    const scroll = this.#find(".pb-scroll");
    if (this.#atEnd) scroll.scrollTop = scroll.scrollHeight;
  }

  #drop(messages: Messages): void {
    const ids = new Set(messages.map((message) => message.id));
    for (const [id, { element }] of this.#shown) {
      if (ids.has(id)) continue;
      element.remove();
      this.#shown.delete(id);
    }
  }

  #show(message: Message): void {
    const shown = this.#shown.get(message.id);
    if (shown?.message === message) return;
    let element = shown?.element;
    if (!element) {
      element = this.#row();
      this.#find("#log").append(element);
    } else if (!shown?.message.final && message.final) {
      // A screen reader announces added elements. Partials are hidden from it, so a final comes as a new element.
      const fresh = this.#row();
      element.replaceWith(fresh);
      element = fresh;
    }
    this.#fill(element, message);
    this.#shown.set(message.id, { message, element });
  }

  #row(): HTMLElement {
    const row = document.createElement("div");
    row.className = "pb-message";
    row.innerHTML = `<span class="pb-who"></span> <p class="pb-text"></p> <p class="pb-note" aria-live="off" hidden></p>`;
    return row;
  }

  #fill(element: HTMLElement, message: Message): void {
    element.dataset.who = message.who;
    element.dataset.final = String(message.final);
    if (message.final) element.removeAttribute("aria-hidden");
    else element.setAttribute("aria-hidden", "true");
    const who = part(element, ".pb-who");
    who.textContent = SPEAKERS[message.who];
    who.hidden = message.who === "page";
    part(element, ".pb-text").textContent = message.text;
    const note = part(element, ".pb-note");
    const words = message.pending ? "waiting for the agent" : message.reply ? replyNote(message.reply) : "";
    note.textContent = words;
    note.title = message.reply?.model ?? "";
    note.hidden = words === "";
  }

  #find<Kind extends HTMLElement = HTMLElement>(selector: string): Kind {
    return part<Kind>(this.#root, selector);
  }
}

function part<Kind extends HTMLElement = HTMLElement>(root: HTMLElement, selector: string): Kind {
  const found = root.querySelector<Kind>(selector);
  if (!found) throw new Error(`the markup has no ${selector}`);
  return found;
}
