/** The replies that are being written, which go on while another page is shown. */

import { useSyncExternalStore } from "react";

import type { Begun, Step } from "./reply";

export interface Live {
  /** The number of the reply; 0 until it is stored. */
  reply: number;
  text: string;
}

const running = new Map<string, Live>();
const listeners = new Set<() => void>();

function put(chat: string, live: Live | null): void {
  if (live) running.set(chat, live);
  else running.delete(chat);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the reply of a chat that is being written here; null: none is. */
export const liveOf = (chat: string) => running.get(chat) ?? null;

export function useLive(chat: string): Live | null {
  return useSyncExternalStore(subscribe, () => liveOf(chat));
}

/** Reads a reply to its end, and shows it meanwhile. `onBegun` is called once it is stored. */
export async function read(chat: string, steps: AsyncGenerator<Step, void>, onBegun: (begun: Begun) => void, reply = 0): Promise<void> {
  put(chat, { reply, text: "" });
  try {
    for await (const step of steps) {
      const { reply: number, text } = liveOf(chat) ?? { reply, text: "" };
      if (step.kind === "text") put(chat, { reply: number, text: text + step.text });
      else {
        put(chat, { reply: step.begun.reply, text });
        onBegun(step.begun);
      }
    }
  } finally {
    put(chat, null);
  }
}
