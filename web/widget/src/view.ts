/** Shows the conversation and reports presses. Only this module, the cards and the element touch the DOM. */

import { askConsent, microphoneOptions, Queue, Rating, type Wait } from "./cards";
import { html, part } from "./dom";
import { ENGLISH, type Language, noticeText, stateText } from "./language";
import { conversation } from "./markup";
import { TalkButton } from "./press";
import { type RecordActions, Records } from "./records";
import { rich } from "./rich";
import type { Choices } from "./settings";
import type { Message, Messages, Reply } from "./transcript";
import type { Microphone, Notice, Phase } from "./words";

/** Callbacks for a person's actions. */
export interface Actions extends RecordActions {
  talk(): void;
  /** The talk button is held down, or let go; only while the visitor has chosen so. */
  hold(down: boolean): void;
  say(text: string): void;
  leaveMessage(text: string, contact: string): void;
  rate(stars: number, comment: string): void;
  hangUp(): void;
  restart(): void;
  /** Does what the notice offers: plays the voice, or takes the microphone again. */
  act(notice: Notice): void;
  choose(choices: Choices): void;
  /** The choices are about to be read: the list of microphones should be new. */
  openChoices(): void;
  /** Any click or key press on the page. */
  onGesture(): void;
}

export interface ViewOptions {
  readonly language?: Language;
  /** Tag of the title. */
  readonly heading?: string;
  /** Returns the line below an answer; none: there are no such lines. */
  readonly note?: (reply: Reply) => string;
}

/** Key code of every key that goes to an input method. */
const COMPOSING = 229;

/** A character that can be seen: marks of direction and joiners are none. */
const SEEN = /[^\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/** Distance from its end (px) within which the conversation scrolls with new messages. */
const FOLLOW_WITHIN = 80;

/** Characters of the words spoken last that captions show. */
const CAPTION = 120;

export class View {
  readonly #root: HTMLElement;
  readonly #language: Language;
  readonly #note: (reply: Reply) => string;
  readonly #onGesture: () => void;
  readonly #queue: Queue;
  readonly #rating: Rating;
  readonly #records: Records;
  readonly #button: TalkButton;
  readonly #shown = new Map<string, { message: Message; element: HTMLElement }>();
  #phase: Phase = "idle";
  #microphone: Microphone = "off";
  #notice: Notice | null = null;
  #choices: Choices = { microphone: "", hold: false, captions: false };
  #atEnd = true;
  /** The words in the field that could not be sent. */
  #givenBack = "";

  constructor(root: HTMLElement, actions: Actions, { language = ENGLISH, heading = "h1", note = () => "" }: ViewOptions = {}) {
    this.#root = root;
    this.#language = language;
    this.#note = note;
    this.#onGesture = actions.onGesture;
    root.classList.add("patchbay");
    root.replaceChildren(...conversation(language.texts, heading));
    this.#queue = new Queue(root, language.texts, actions.leaveMessage);
    this.#rating = new Rating(root, actions.rate);
    this.#records = new Records(root, actions);
    this.#button = new TalkButton(this.#find("#talk"), actions.talk, actions.hold);
    this.#connect(actions);
    this.phase("idle");
    this.microphone("off");
    this.notice(null);
  }

  /** `isCall`: there is a call that can be ended. */
  phase(phase: Phase, isCall = true): void {
    // A call runs: the hint on how to set up folds away.
    if (this.#phase === "idle" && phase !== "idle") this.#find<HTMLDetailsElement>(".pb-hint").open = false;
    this.#phase = phase;
    this.#root.dataset.phase = phase;
    this.#showState();
    const { activeElement: focused } = this.#root.getRootNode() as Document | ShadowRoot;
    const end = this.#find("#end");
    const restart = this.#find("#restart");
    end.hidden = !isCall || phase === "idle" || phase === "ended";
    restart.hidden = phase !== "ended";
    // One button replaces the other: the focus moves to the new one.
    if (focused === end && end.hidden) restart.focus();
    if (focused === restart && restart.hidden) end.focus();
  }

  microphone(state: Microphone): void {
    this.#microphone = state;
    this.#root.dataset.microphone = state;
    this.#showState();
    this.#find("#talk").setAttribute("aria-pressed", String(state === "on"));
    const { texts } = this.#language;
    this.#find("#talk-caption").textContent = this.#choices.hold && state !== "asking" ? texts.hold : texts[state];
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
    this.#notice = notice;
    this.#find(".pb-notice").dataset.tone = notice?.tone ?? "";
    this.#find("#notice").textContent = notice ? noticeText(notice, this.#language) : "";
    const act = this.#find("#act");
    const { texts } = this.#language;
    const offers: Partial<Record<Notice["kind"], string>> = { "sound-blocked": texts.play, "microphone-lost": texts.resume };
    const offer = notice ? (offers[notice.kind] ?? "") : "";
    act.textContent = offer;
    act.hidden = offer === "";
  }

  /** Shows the loudness of both sides, 0 to 1. */
  levels(caller: number, agent: number): void {
    this.#root.style.setProperty("--caller-level", caller.toFixed(2));
    this.#root.style.setProperty("--agent-level", agent.toFixed(2));
  }

  transcript(messages: Messages): void {
    this.#find(".pb-empty").hidden = messages.length > 0;
    this.#drop(messages);
    messages.forEach((message, index) => {
      if (this.#shown.get(message.id)?.message !== message) this.#show(message, messages.slice(index + 1));
    });
    this.#caption(messages);
    this.#followEnd();
  }

  /** Shows the place in the queue; null: the visitor does not wait, or no more. */
  waits(wait: Wait | null): void {
    this.#queue.show(wait);
  }

  /** Holds the forms of the queue while a message is sent. */
  messageSending(sending: boolean): void {
    this.#queue.sending(sending);
  }

  /** Asks how the conversation was, or no more. */
  rating(open: boolean): void {
    this.#rating.show(open);
  }

  /** Asks the visitor to agree to a text before anything else. */
  consent(text: string, done: (agreed: boolean) => void): void {
    askConsent(this.#root, text, done);
  }

  title(text: string): void {
    this.#find("#title").textContent = text;
  }

  /** Shows the ways to talk that there are. */
  modes(modes: { readonly voice: boolean; readonly text: boolean }): void {
    this.#root.dataset.voice = String(modes.voice);
    this.#find(".pb-form").hidden = !modes.text;
    const { texts } = this.#language;
    this.#find("#empty").textContent = modes.voice ? texts.empty : texts.emptyText;
  }

  choices(choices: Choices): void {
    this.#choices = choices;
    this.#button.isHeld = choices.hold;
    this.#find<HTMLInputElement>("#hold").checked = choices.hold;
    this.#find<HTMLInputElement>("#captions").checked = choices.captions;
    this.#root.dataset.captions = String(choices.captions);
    this.microphone(this.#microphone);
  }

  microphones(found: readonly MediaDeviceInfo[]): void {
    const options = microphoneOptions(found, this.#choices.microphone, this.#language.texts.anyMicrophone);
    this.#find("#microphone").replaceChildren(...options);
  }

  /** Shows what can be done with what was said. */
  records(choices: { readonly saved: boolean; readonly rated: boolean }): void {
    this.#records.show(choices);
  }

  /** Has the browser save a text. */
  save(text: string): void {
    this.#records.save(text);
  }

  /** Closes the menu if it is open, and returns whether it was. */
  closeMenu(): boolean {
    const menu = this.#find<HTMLDetailsElement>(".pb-menu");
    const wasOpen = menu.open;
    if (wasOpen) {
      menu.open = false;
      this.#find("#menu").focus();
    }
    return wasOpen;
  }

  /** Puts the cursor where the visitor types, or else on what comes first. */
  focus(): void {
    const open = ["#consent-text", ".pb-form #text", "#talk"].map((selector) => this.#find(selector));
    open.find((each) => !each.closest("[hidden], [inert]"))?.focus();
  }

  clearText(): void {
    this.#givenBack = "";
    this.#find<HTMLInputElement>("#text").value = "";
  }

  /** Lets the visitor change words that could not be sent; they stand in their order before what was typed since. */
  giveBack(text: string): void {
    const input = this.#find<HTMLInputElement>("#text");
    const before = input.value.startsWith(this.#givenBack) ? this.#givenBack : "";
    const since = input.value.slice(before.length).trimStart();
    this.#givenBack = [before, text].filter(Boolean).join(" ");
    input.value = [this.#givenBack, since].filter(Boolean).join(" ");
  }

  #connect(actions: Actions): void {
    this.#find("#end").addEventListener("click", () => actions.hangUp());
    this.#find("#restart").addEventListener("click", () => actions.restart());
    this.#find("#act").addEventListener("click", () => this.#notice && actions.act(this.#notice));
    this.#find(".pb-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#find<HTMLInputElement>("#text").value.trim();
      if (SEEN.test(text)) actions.say(text);
    });
    // Enter that ends the composition of a character does not send: Safari would submit the form.
    this.#find("#text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.isComposing || event.keyCode === COMPOSING)) event.preventDefault();
    });
    const scroll = this.#find(".pb-scroll");
    scroll.addEventListener("scroll", () => {
      this.#atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOW_WITHIN;
    });
    new ResizeObserver(() => this.#followEnd()).observe(scroll);
    this.#connectMenu(actions);
  }

  /** Hears gestures anywhere in the page until the signal. */
  listen(signal: AbortSignal): void {
    const gesture = (event: Event) => {
      if (event.type === "pointerup" && !event.composedPath().includes(this.#find(".pb-menu"))) {
        this.#find<HTMLDetailsElement>(".pb-menu").open = false;
      }
      this.#onGesture();
    };
    for (const name of ["pointerup", "keyup"]) document.addEventListener(name, gesture, { signal });
  }

  #connectMenu(actions: Actions): void {
    const menu = this.#find<HTMLDetailsElement>(".pb-menu");
    menu.addEventListener("toggle", () => menu.open && actions.openChoices());
    const microphone = this.#find<HTMLSelectElement>("#microphone");
    menu.addEventListener("change", ({ target }) => {
      actions.choose({
        // Before the page may use one, the list lacks the one that was chosen.
        microphone: target === microphone ? microphone.value : this.#choices.microphone,
        hold: this.#find<HTMLInputElement>("#hold").checked,
        captions: this.#find<HTMLInputElement>("#captions").checked,
      });
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.closeMenu()) event.stopPropagation();
    });
  }

  #showState(): void {
    this.#find("#state").textContent = stateText(this.#phase, this.#microphone, this.#language);
  }

  /** Shows the words that are being spoken, or were last. */
  #caption(messages: Messages): void {
    const box = this.#find(".pb-captions");
    const words = messages.findLast((message) => message.who !== "page")?.text ?? "";
    box.hidden = words === "";
    box.textContent = words.length > CAPTION ? `…${words.slice(-CAPTION)}` : words;
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

  /** Shows a message that is new or has changed, above those after it. */
  #show(message: Message, after: Messages): void {
    const shown = this.#shown.get(message.id);
    let element = shown?.element;
    if (!element) {
      element = row();
      const next = after.find(({ id }) => this.#shown.has(id));
      this.#find("#log").insertBefore(element, (next && this.#shown.get(next.id)?.element) ?? null);
    } else if (!shown?.message.final && message.final) {
      // A screen reader announces added elements. Partials are hidden from it, so a final comes as a new element.
      const fresh = row();
      element.replaceWith(fresh);
      element = fresh;
    }
    this.#fill(element, message, shown?.message);
    this.#shown.set(message.id, { message, element });
  }

  #fill(element: HTMLElement, message: Message, before: Message | undefined): void {
    const { texts } = this.#language;
    element.dataset.who = message.who;
    element.dataset.final = String(message.final);
    if (message.final) element.removeAttribute("aria-hidden");
    else element.setAttribute("aria-hidden", "true");
    const who = part(element, ".pb-who");
    who.textContent = message.who === "page" ? "" : { caller: texts.you, agent: texts.agent }[message.who];
    who.hidden = message.who === "page";
    // A note that comes later leaves the words in place, and with them a link that has the focus.
    if (before?.text !== message.text || before.final !== message.final) {
      const text = part(element, ".pb-text");
      if (message.who === "agent") text.replaceChildren(...rich(message.text));
      else text.textContent = message.text;
    }
    const note = part(element, ".pb-note");
    const words = message.pending ? texts.waiting : message.reply ? this.#note(message.reply) : "";
    note.textContent = words;
    note.title = words && message.reply ? message.reply.model : "";
    note.hidden = words === "";
  }

  #find<Kind extends HTMLElement = HTMLElement>(selector: string): Kind {
    return part<Kind>(this.#root, selector);
  }
}

function row(): HTMLElement {
  const note = html("p", { class: "pb-note", "aria-live": "off", hidden: true });
  const text = html("div", { class: "pb-text", dir: "auto" });
  return html("div", { class: "pb-message", part: "message" }, html("span", { class: "pb-who" }), " ", text, " ", note);
}
