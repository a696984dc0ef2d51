/** The page of one's own: a conversation that fills the window. */

import "./style.css";

import { requestDemo, wantedAssistant } from "./api";
import { ENGLISH } from "./language";
import { MODELS_UNKNOWN, modelLine, replyNote } from "./operator";
import { Talk } from "./talk";
import type { View } from "./view";
import type { Phase } from "./words";

declare global {
  interface Window {
    /** For tests and debugging: the phase of the call, and the agent's highest loudness (RMS, 0 to 1). */
    patchbay?: { readonly state: Phase; readonly peak: number };
  }
}

/** Puts a conversation into an element. `server` is the address of the agent's HTTP server; empty: the page's own. */
export function mount(root: HTMLElement, server = ""): void {
  const part = import("./call"); // the page is of no use without it
  const door = { server, assistant: wantedAssistant(window.location.search) };
  const events = { phase: (phase: Phase) => phase === "ended" && void showModels(talk.view, server) };
  const talk = new Talk(root, () => door, () => part, { language: ENGLISH, note: replyNote, events });
  talk.listen(new AbortController().signal); // as long as there is the page
  void showModels(talk.view, server);
  window.patchbay = {
    get state() {
      return talk.state;
    },
    get peak() {
      return talk.peak;
    },
  };
}

/** Names the connected models. */
async function showModels(view: View, server: string): Promise<void> {
  try {
    const demo = await requestDemo(server);
    view.models(modelLine(demo));
    view.language(demo.language);
  } catch {
    view.models(MODELS_UNKNOWN);
  }
}

const root = document.getElementById("patchbay");
if (root) mount(root, root.dataset.server);
