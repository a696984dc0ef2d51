/** Wires the parts of a conversation together: passes presses to the call, and the call's events to the view. */

import { type Door, Refused, requestDeletion, requestTranscript, sendRating } from "./api";
import type { Call, CallEvents } from "./call";
import { ENGLISH, type Language } from "./language";
import { LeftCall } from "./leaving";
import { Meters } from "./level";
import type { Wait } from "./cards";
import { addLine, addReply, addSegment, addTyped, finalize, markSent, type Messages, nextPending, plain } from "./transcript";
import { messageId, type TextEvents, TextTalk } from "./text";
import { type Choices, findMicrophones, hasAgreed, readChoices, storeAgreement, storeChoices } from "./settings";
import { within } from "./time";
import { type Actions, View, type ViewOptions } from "./view";
import { ending, type Microphone, type Notice, type Phase, refusal, trouble } from "./words";

/** Loads the part that carries calls; it is large, and of no use before the first call. */
export type LoadCall = () => Promise<typeof import("./call")>;

/** Time (ms) for which the large part may be loaded before the call fails. */
const LOAD_WITHIN_MS = 20_000;

/** What the owner of a page may listen to. */
export interface TalkEvents {
  phase?(phase: Phase): void;
  /** A message of this visit to the page is complete. */
  message?(who: "caller" | "agent", text: string): void;
  notice?(notice: Notice): void;
  /** The visitor's answer to the text that is agreed to first. */
  consent?(agreed: boolean): void;
  rating?(stars: number): void;
}

export interface TalkOptions extends ViewOptions {
  readonly events?: TalkEvents;
  /** Whether a conversation is rated at its end. */
  readonly rated?: boolean;
  /** Whether messages go over HTTP alone, and the conversation is remembered; else a message begins a call. */
  readonly written?: boolean;
}

/** One conversation in an element. */
export class Talk {
  readonly #door: () => Door;
  /** The conversation in writing; null: messages go to a room, as words do. */
  readonly #text: TextTalk | null;
  readonly #load: LoadCall;
  readonly #view: View;
  readonly #meters = new Meters((caller, agent) => this.#view.levels(caller, agent));
  readonly #left = new LeftCall(
    () => this.#door().site ?? "",
    () => this.#call !== null && this.#text !== null && this.#microphone === "on",
  );
  #call: Call | null = null;
  /** Fulfilled once the call before is over at the server, too. */
  #leaving: Promise<void> | null = null;
  #calls = 0;
  #phase: Phase = "idle";
  #microphone: Microphone = "off";
  #usesVoice = false;
  /** Whether the talk button is held down. */
  #isHeld = false;
  #messages: Messages = [];
  #lines = 0;
  #sending = false;
  /** Whether the conversation is shown: it is read from then on. */
  #isResumed = false;
  readonly #language: Language;
  readonly #listeners: TalkEvents;
  readonly #isRated: boolean;
  readonly #reported = new Set<string>();
  #choices = readChoices();
  /** The text that the visitor must agree to before anything begins; empty: none. */
  #consent = "";
  /** The proof of the last call. */
  #continuation = "";
  /** The wait of a visitor who is in the queue. */
  #wait: Wait | null = null;

  /** `door` returns the way to the server, and what the page says, as they are by then. */
  constructor(root: HTMLElement, door: () => Door, load: LoadCall, options: TalkOptions = {}) {
    this.#door = door;
    this.#load = load;
    this.#language = options.language ?? ENGLISH;
    this.#listeners = options.events ?? {};
    this.#isRated = options.rated ?? false;
    this.#view = new View(root, this.#actions(), options);
    this.#text = options.written ? new TextTalk(door, this.#writing()) : null;
    this.#view.choices(this.#choices);
  }

  /** Hears what happens around the element until the signal: to be called while it is in the page. */
  listen(signal: AbortSignal): void {
    this.#view.listen(signal);
    this.#text?.listen(signal);
    // A page that was out of sight, or without a network, may have missed something.
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#catchUp(), { signal });
    for (const name of ["pageshow", "online"]) window.addEventListener(name, () => this.#catchUp(), { signal });
    this.#catchUp(); // the element may have been out of the page
  }

  #actions(): Actions {
    return {
      talk: () => this.#talk(),
      hold: (down) => this.#hold(down),
      say: (text) => this.say(text),
      leaveMessage: (text, contact) => void this.#leaveMessage(text, contact),
      rate: (stars, comment) => void this.#rate(stars, comment),
      openRating: () => this.#view.rating(true),
      download: () => void this.transcript().then((text) => this.#view.save(text), this.#notDone),
      forget: () => void this.forget().catch(this.#notDone),
      hangUp: () => this.hangUp(),
      restart: () => this.#start(this.#usesVoice),
      act: () => {
        this.#call?.unblockSound();
        void this.#call?.microphone.resume();
      },
      choose: (choices) => this.#choose(choices),
      openChoices: () => void findMicrophones().then((found) => this.#view.microphones(found)),
      onGesture: () => this.#call?.unblockSound(),
    };
  }

  get view(): View {
    return this.#view;
  }

  get state(): Phase {
    return this.#phase;
  }

  get peak(): number {
    return this.#meters.agent.peak;
  }

  #talk(): void {
    this.#usesVoice = true;
    if (this.#call) void this.#call.setMicrophone(this.#microphone === "off" || this.#microphone === "muted");
    else if (this.#phase !== "connecting") this.#start(true);
  }

  /** Talks while the button is held; the first time it also begins the call, or opens the microphone. */
  #hold(down: boolean): void {
    this.#isHeld = down;
    this.#call?.microphone.hold(down);
    if (!down) return;
    this.#usesVoice = true;
    if (!this.#call && this.#phase !== "connecting") this.#start(true);
    else if (this.#microphone === "off") void this.#call?.setMicrophone(true);
  }

  #choose(choices: Choices): void {
    this.#choices = choices;
    storeChoices(choices);
    this.#view.choices(choices);
    void this.#call?.microphone.use(choices.microphone);
    this.#call?.microphone.holdToTalk(choices.hold);
  }

  /** Lets the visitor agree to a text before anything begins, once for each text. */
  askConsent(text: string): void {
    const site = this.#door().site ?? "";
    if (!text || hasAgreed(site, text)) return;
    this.#consent = text;
    this.#view.consent(text, (agreed) => {
      this.#listeners.consent?.(agreed);
      if (!agreed) return;
      storeAgreement(site, text);
      this.#consent = "";
      this.#view.focus();
      if (nextPending(this.#messages)) this.#begin();
      else this.#catchUp();
    });
  }

  hangUp(): void {
    this.#calls += 1; // one that has not begun yet never does
    if (this.#call) this.#call.hangUp();
    else if (this.#phase === "connecting") this.#onPhase("ended"); // the large part is being loaded
    else if (this.#text) {
      this.#text.stop();
      this.#onPhase("idle");
    }
  }

  /** Shows the conversation of before, and goes on with the reply under way. */
  async resume(): Promise<void> {
    this.#isResumed = true;
    if (!this.#call && !this.#consent) await this.#text?.follow();
  }

  /** Sends what still waits, or else reads what came since. */
  #catchUp(): void {
    if (!this.#text || !this.#isResumed || this.#isCall || this.#sending) return;
    if (nextPending(this.#messages)) this.#begin();
    else void this.resume();
  }

  /** Goes on by voice after the page was left in the middle of a call. */
  async goOn(): Promise<void> {
    const number = this.#calls;
    await this.#text?.settle();
    if (this.#calls === number) this.#start(true);
  }

  /** Proof of whose the conversation is; empty: there is none. */
  get #proof(): string {
    return this.#text?.proof || this.#call?.continuation || this.#continuation;
  }

  /** Deletes what was said, at the server and here, and ends a call. Throws if the server cannot be reached. */
  async forget(): Promise<void> {
    if (this.#isCall) this.hangUp();
    this.#write(this.#messages.filter(({ pending }) => !pending)); // what waits is not sent any more
    const proof = this.#proof;
    if (proof) await requestDeletion(this.#door(), proof);
    this.#text?.deleted(proof);
    this.#empty();
  }

  /** Shows that what was said is deleted. */
  #empty(): void {
    if (this.#isCall) this.hangUp();
    this.#continuation = "";
    this.#view.rating(false);
    this.#write([]);
    this.#onPhase("idle");
    this.#notice(ending("deleted"));
  }

  /** Gives a message that cannot be sent back to its writer: the next ones need not wait for it. */
  #takeBack(id: string): void {
    const message = this.#messages.find((each) => each.id === id);
    if (message) this.#view.giveBack(message.text);
    this.#write(this.#messages.filter((each) => each !== message));
  }

  /** Returns what was said as a text to save: as it is stored, or else as it is shown. */
  async transcript(): Promise<string> {
    const stored = this.#proof ? await requestTranscript(this.#door(), this.#proof) : "";
    return stored || plain(this.#messages, this.#language.texts);
  }

  readonly #notDone = (): void => this.#notice(trouble("not-done"));

  /** Sends a message, and begins a conversation if there is none. */
  say(text: string): void {
    this.#view.clearText();
    this.#write(addTyped(this.#messages, messageId(), whole(text)));
    this.#sendAll();
  }

  get #isCall(): boolean {
    return this.#call !== null || this.#phase === "connecting";
  }

  /** Whether messages go to a room: not while its visitor waits for a line, if they can go in writing. */
  get #isInRoom(): boolean {
    return this.#isCall && !(this.#wait && this.#text);
  }

  #sendAll(): void {
    if (this.#isInRoom) void this.#sendPending();
    else this.#begin();
  }

  /** Sends the messages that wait: in writing, or in a call that begins with them. */
  #begin(): void {
    if (this.#consent) return;
    if (this.#text) void this.#sendWritten(this.#text);
    else this.#start(false);
  }

  async #sendWritten(text: TextTalk): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    if (!this.#isCall) this.#notice(null);
    const tried = new Set<string>();
    try {
      for (let next = nextPending(this.#messages); next && !tried.has(next.id); next = nextPending(this.#messages)) {
        const { id } = next;
        tried.add(id);
        await text.send(id, next.text, () => !this.#isInRoom && this.#messages.some((each) => each.id === id && each.pending));
      }
    } finally {
      this.#sending = false;
    }
    if (this.#isInRoom) void this.#sendPending();
  }

  #writing(): TextEvents {
    return {
      phase: (phase) => !this.#isCall && this.#onPhase(phase),
      segment: (segment, isPast) => {
        if (isPast) this.#reported.add(segment.id);
        this.#write(addSegment(this.#messages, segment));
      },
      sent: (id) => this.#write(markSent(this.#messages, id)),
      refused: (id) => this.#takeBack(id),
      ended: () => this.#askRating(),
      forgotten: () => this.#line(this.#language.texts.newCall),
      deleted: () => this.#empty(),
      notice: (notice) => (notice || !this.#isCall) && this.#notice(notice),
    };
  }

  #start(voice: boolean): void {
    if (this.#consent) return;
    this.#notice(null);
    this.#view.rating(false);
    this.#usesVoice = voice;
    if (!this.#text) this.#line(this.#language.texts.newCall); // an assistant in writing remembers
    this.#calls += 1;
    this.#onPhase("connecting");
    this.#left.watch();
    this.#meters.start(() => this.#microphone !== "on");
    void this.#open(voice, this.#calls);
  }

  async #open(voice: boolean, number: number): Promise<void> {
    const isOver = () => this.#calls !== number;
    try {
      const { Call } = await within(LOAD_WITHIN_MS, this.#load());
      if (isOver()) return;
      const conversation = this.#text ? await this.#text.token() : undefined;
      if (isOver()) return;
      this.#call = new Call({ ...this.#door(), conversation }, voice, this.#choices, this.#events());
      this.#call.microphone.hold(this.#isHeld);
    } catch (error) {
      if (isOver()) return;
      this.#notice(error instanceof Refused ? refusal(error) : trouble("server-unreachable"));
      this.#onPhase("ended");
      return;
    }
    // The agent of the last call closes its room, which would end this one as well.
    void this.#call.open(this.#leaving);
  }

  #events(): CallEvents {
    return {
      phase: (phase) => this.#onPhase(phase),
      microphone: (state) => {
        this.#microphone = state;
        this.#view.microphone(state);
      },
      segment: (segment) => this.#write(addSegment(this.#messages, segment)),
      reply: (reply) => this.#write(addReply(this.#messages, reply)),
      agentReplaced: () => this.#line(this.#language.texts.newAgent),
      waits: (wait) => {
        this.#wait = wait;
        this.#view.waits(wait);
        if (wait && this.#text && nextPending(this.#messages)) this.#sendAll();
      },
      notice: (notice) => this.#notice(notice),
      sound: (from, track, live) => (live ? this.#meters[from].add(track) : this.#meters[from].remove(track)),
    };
  }

  #onPhase(phase: Phase): void {
    this.#phase = phase;
    this.#view.phase(phase, this.#isCall || phase === "ended");
    this.#listeners.phase?.(phase);
    if (phase === "ended") this.#finish();
    else if (this.#isInRoom) void this.#sendPending();
  }

  #finish(): void {
    this.#left.stop();
    this.#continuation = this.#call?.continuation ?? this.#continuation;
    this.#call = null;
    this.#wait = null;
    this.#meters.stop();
    this.#write(finalize(this.#messages));
    this.#leaving = this.#text?.skip() ?? null;
    void this.#leaving?.then(() => nextPending(this.#messages) && this.#begin());
    this.#askRating();
  }

  #askRating(): void {
    const wasAnswered = this.#messages.findLast((message) => message.who !== "caller")?.who === "agent";
    if (this.#isRated && this.#proof && wasAnswered) this.#view.rating(true);
  }

  async #rate(stars: number, comment: string): Promise<void> {
    try {
      await sendRating(this.#door(), this.#proof, stars, comment);
      this.#view.rating(false);
      this.#notice(ending("thanks"));
      this.#listeners.rating?.(stars);
    } catch {
      this.#notice(trouble("rating-not-stored"));
    }
  }

  #notice(notice: Notice | null): void {
    this.#view.notice(notice);
    if (notice) this.#listeners.notice?.(notice);
  }

  /** Draws a line below what was said so far: the agent does not know it. */
  #line(text: string): void {
    this.#lines += 1;
    this.#write(addLine(finalize(this.#messages), `line-${this.#lines}`, text));
  }

  /** Sends the typed messages, in order, once the agent is ready for them. */
  async #sendPending(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let next = nextPending(this.#messages); next && this.#call?.ready; next = nextPending(this.#messages)) {
        await this.#call.send(next.text);
        this.#write(markSent(this.#messages, next.id));
      }
    } catch {
      // The message stays pending; a call that has ended shows its own notice.
      if (this.#call) this.#notice(trouble("message-not-sent"));
    } finally {
      this.#sending = false;
    }
  }

  /** Leaves a message in place of waiting; the receptionist says that it is noted, and ends the call. */
  async #leaveMessage(text: string, contact: string): Promise<void> {
    this.#view.messageSending(true);
    try {
      await this.#call?.leaveMessage(text, contact);
      this.#view.waits(null);
    } catch {
      // A call that has ended, or has an agent now, shows so itself.
      if (this.#call && !this.#call.ready) this.#notice(trouble("message-not-stored"));
    } finally {
      this.#view.messageSending(false);
    }
  }

  #write(messages: Messages): void {
    this.#messages = messages;
    this.#view.transcript(messages);
    this.#view.records({ saved: messages.length > 0, rated: this.#isRated && messages.some(({ who }) => who === "agent") });
    for (const { id, who, text, final, pending } of messages) {
      if (!final || pending || who === "page" || this.#reported.has(id)) continue;
      this.#reported.add(id);
      this.#listeners.message?.(who, text);
    }
  }
}

/** Replaces halves of characters, as of an emoji that was cut: JSON cannot carry them. */
function whole(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
