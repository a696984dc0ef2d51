/** Wires the parts together: passes presses to the call, and the call's events to the view. */

import "./style.css";

import { requestDemo } from "./api";
import { Call, type CallEvents } from "./call";
import { Level, visible } from "./level";
import { addLine, addReply, addSegment, addTyped, finalize, markSent, type Messages, nextPending } from "./transcript";
import { View } from "./view";
import { MODELS_UNKNOWN, modelLine, type Microphone, NEW_AGENT, NEW_CALL, type Phase, trouble } from "./words";

declare global {
  interface Window {
    /** For tests and debugging: the phase of the call, and the agent's highest loudness (RMS, 0 to 1). */
    patchbay?: { readonly state: Phase; readonly peak: number };
  }
}

const SAMPLE_EVERY_MS = 40;

class Widget {
  readonly #server: string;
  readonly #view: View;
  readonly #levels = { caller: new Level(), agent: new Level() };
  #call: Call | null = null;
  #sampling: ReturnType<typeof setInterval> | undefined;
  #phase: Phase = "idle";
  #microphone: Microphone = "off";
  #usesVoice = false;
  #messages: Messages = [];
  #typed = 0;
  #lines = 0;
  #sending = false;

  constructor(root: HTMLElement, server: string) {
    this.#server = server;
    this.#view = new View(root, {
      talk: () => this.#talk(),
      say: (text) => this.#say(text),
      leaveMessage: (text, contact) => void this.#leaveMessage(text, contact),
      hangUp: () => this.#call?.hangUp(),
      restart: () => this.#start(this.#usesVoice),
      onGesture: () => this.#call?.unblockSound(),
    });
    void this.#loadModels();
  }

  get state(): Phase {
    return this.#phase;
  }

  get peak(): number {
    return this.#levels.agent.peak;
  }

  #talk(): void {
    this.#usesVoice = true;
    if (this.#call) void this.#call.setMicrophone(this.#microphone === "off" || this.#microphone === "muted");
    else this.#start(true);
  }

  #say(text: string): void {
    this.#view.clearText();
    this.#typed += 1;
    this.#write(addTyped(this.#messages, `typed-${this.#typed}`, text));
    if (this.#call) void this.#sendPending();
    else this.#start(false);
  }

  #start(voice: boolean): void {
    this.#view.notice(null);
    this.#usesVoice = voice;
    this.#line(NEW_CALL);
    this.#call = new Call(this.#server, voice, this.#events());
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_EVERY_MS);
    void this.#call.open();
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
      agentReplaced: () => this.#line(NEW_AGENT),
      takesMessages: (open) => this.#view.messageForm(open),
      notice: (notice) => this.#view.notice(notice),
      sound: (from, track, live) => (live ? this.#levels[from].add(track) : this.#levels[from].remove(track)),
    };
  }

  #onPhase(phase: Phase): void {
    this.#phase = phase;
    this.#view.phase(phase);
    if (phase === "ended") this.#finish();
    else void this.#sendPending();
  }

  #finish(): void {
    this.#call = null;
    clearInterval(this.#sampling);
    this.#levels.caller.close();
    this.#levels.agent.close();
    this.#view.levels(0, 0);
    this.#write(finalize(this.#messages));
    void this.#loadModels();
  }

  #sample(): void {
    const caller = this.#microphone === "on" ? visible(this.#levels.caller.read()) : 0;
    this.#view.levels(caller, visible(this.#levels.agent.read()));
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
      if (this.#call) this.#view.notice(trouble("message-not-sent"));
    } finally {
      this.#sending = false;
    }
  }

  /** Leaves a message in place of waiting; the receptionist says that it is noted, and ends the call. */
  async #leaveMessage(text: string, contact: string): Promise<void> {
    this.#view.messageSending(true);
    try {
      await this.#call?.leaveMessage(text, contact);
      this.#view.messageForm(false);
    } catch {
      // A call that has ended, or has an agent now, shows so itself.
      if (this.#call && !this.#call.ready) this.#view.notice(trouble("message-not-stored"));
    } finally {
      this.#view.messageSending(false);
    }
  }

  #write(messages: Messages): void {
    this.#messages = messages;
    this.#view.transcript(messages);
  }

  async #loadModels(): Promise<void> {
    try {
      const demo = await requestDemo(this.#server);
      this.#view.models(modelLine(demo));
      this.#view.language(demo.language);
    } catch {
      this.#view.models(MODELS_UNKNOWN);
    }
  }
}

/** Puts the widget into an element. `server` is the address of the agent's HTTP server; empty: the page's own. */
export function mount(root: HTMLElement, server = ""): void {
  const widget = new Widget(root, server);
  window.patchbay = {
    get state() {
      return widget.state;
    },
    get peak() {
      return widget.peak;
    },
  };
}

const root = document.getElementById("patchbay");
if (root) mount(root, root.dataset.server);
