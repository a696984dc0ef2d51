/** Divides the wait of one turn into parts that add up to what the caller waited. Pure. */

import type { CallItem } from "../api/client";

export type PartName = "words" | "end" | "model" | "voice" | "rest";

export interface Part {
  name: PartName;
  start: number;
  seconds: number;
}

export interface Attempt {
  connection: string;
  /** Missing in receipts of earlier versions, and for a connection that is not stored. */
  connection_id?: string;
  model: string;
  role: string;
  outcome: string;
  /** Seconds since the reply was asked for. */
  started: number;
  first_word: number | null;
  duration: number;
  delivered: boolean;
}

export interface Turn {
  /** Seconds from the caller's last sound to the first sound of the reply, or of a filler. */
  waited: number;
  parts: Part[];
  /** When the reply was asked for, in seconds since the caller's last sound. */
  asked: number;
  /** Seconds from the request to the first word of the reply. */
  firstWord: number;
  /** Seconds from the first word to the first sound of the reply, as far as it is known. */
  voiced: number;
  /** Whether a short phrase was said before the reply had a word. */
  hadFiller: boolean;
  attempts: Attempt[];
  connection: string;
  isLastResort: boolean;
  cost: number;
}

/** Seconds by which the first word must be late for a filler to explain it. */
const FILLER_GAP = 0.05;

const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : 0);

/** Returns the turn behind an item of the agent; null if it was not the answer to something said. */
export function turnOf(item: CallItem): Turn | null {
  const { receipt } = item;
  const times = (receipt.times ?? {}) as Record<string, unknown>;
  const waited = number(times.e2e_latency);
  const attempts = (Array.isArray(receipt.attempts) ? receipt.attempts : []) as Attempt[];
  if (item.role !== "assistant" || (!waited && !attempts.length)) return null;
  const asked = number(times.end_of_turn_delay);
  const words = Math.min(number(times.transcription_delay), asked);
  const firstWord = number(receipt.first_word);
  const lengths: [PartName, number][] = [
    ["words", words],
    ["end", asked - words],
    ["model", firstWord],
    ["voice", number(times.tts_node_ttfb)],
  ];
  let at = 0;
  const parts: Part[] = [];
  for (const [name, seconds] of lengths) {
    const within = waited ? Math.min(seconds, waited - at) : seconds;
    if (within > 0) parts.push({ name, start: at, seconds: within });
    at += Math.max(0, within);
  }
  if (waited > at) parts.push({ name: "rest", start: at, seconds: waited - at });
  const hadFiller = waited > 0 && asked + firstWord > waited + FILLER_GAP;
  return {
    waited: waited || at,
    parts,
    asked,
    firstWord,
    voiced: waited && !hadFiller ? Math.max(0, waited - asked - firstWord) : number(times.tts_node_ttfb),
    hadFiller,
    attempts,
    connection: typeof receipt.connection === "string" ? receipt.connection : "",
    isLastResort: receipt.last_resort === true,
    cost: number(receipt.cost),
  };
}
