/** Wires the parts together: presses go to the call, what the call tells goes to the view. */

import "./style.css";

import { requestDemo } from "./api";
import { Call, type CallEvents } from "./call";
import { Level, visible } from "./level";
import { answered, delivered, hear, type Messages, nextPending, settle, type } from "./transcript";
import { View } from "./view";
import { BRAIN_UNKNOWN, brainLine, type Microphone, type Phase, trouble } from "./words";

declare global {
  interface Window {
    /** For tests and for the curious: where the call stands, and the loudest the agent has been (RMS, 0 to 1). */
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
  #talked = false;
  #messages: Messages = [];
  #typed = 0;
  #delivering = false;

  constructor(root: HTMLElement, server: string) {
    this.#server = server;
    this.#view = new View(root, {
      talk: () => this.#talk(),
      say: (text) => this.#say(text),
      hangUp: () => this.#call?.hangUp(),
      restart: () => this.#start(this.#talked),
      touched: () => this.#call?.unblockSound(),
    });
    void this.#askBrain();
  }

  get state(): Phase {
    return this.#phase;
  }

  get peak(): number {
    return this.#levels.agent.peak;
  }

  #talk(): void {
    this.#talked = true;
    if (this.#call) void this.#call.setMicrophone(this.#microphone === "off");
    else this.#start(true);
  }

  #say(text: string): void {
    this.#view.clearText();
    this.#typed += 1;
    this.#write(type(this.#messages, `typed-${this.#typed}`, text));
    if (this.#call) void this.#deliver();
    else this.#start(false);
  }

  #start(voice: boolean): void {
    this.#view.notice(null);
    this.#talked = voice;
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
      heard: (segment) => this.#write(hear(this.#messages, segment)),
      answered: (reply) => this.#write(answered(this.#messages, reply)),
      notice: (notice) => this.#view.notice(notice),
      sound: (from, track, live) => (live ? this.#levels[from].add(track) : this.#levels[from].remove(track)),
    };
  }

  #onPhase(phase: Phase): void {
    this.#phase = phase;
    this.#view.phase(phase);
    if (phase === "ended") this.#finish();
    else void this.#deliver();
  }

  #finish(): void {
    this.#call = null;
    clearInterval(this.#sampling);
    this.#levels.caller.close();
    this.#levels.agent.close();
    this.#view.levels(0, 0);
    this.#write(settle(this.#messages));
    void this.#askBrain();
  }

  #sample(): void {
    this.#view.levels(visible(this.#levels.caller.read()), visible(this.#levels.agent.read()));
  }

  /** Sends what was typed, in order, as soon as the agent is there to read it. */
  async #deliver(): Promise<void> {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let next = nextPending(this.#messages); next && this.#call?.ready; next = nextPending(this.#messages)) {
        await this.#call.send(next.text);
        this.#write(delivered(this.#messages, next.id));
      }
    } catch {
      // The message stays pending; a call that broke down tells its own story.
      if (this.#call) this.#view.notice(trouble("message-not-sent"));
    } finally {
      this.#delivering = false;
    }
  }

  #write(messages: Messages): void {
    this.#messages = messages;
    this.#view.transcript(messages);
  }

  async #askBrain(): Promise<void> {
    try {
      const demo = await requestDemo(this.#server);
      this.#view.brain(brainLine(demo));
      this.#view.language(demo.language);
    } catch {
      this.#view.brain(BRAIN_UNKNOWN);
    }
  }
}

/** Puts the widget into an element. `server` is the address of the agent's HTTP server; empty means the page's own. */
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
