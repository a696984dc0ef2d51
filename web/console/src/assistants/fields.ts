/** The fields of an assistant: how each is edited, and how it is written in a form. Pure. */

import type { Schemas } from "../api/client";
import { text } from "../text";

export type Assistant = Schemas["AssistantRead"];
export type AssistantUpdate = Schemas["AssistantUpdate"];
export type FieldName = keyof typeof text.assistants.fields;
export type Draft = { -readonly [K in keyof AssistantUpdate]?: AssistantUpdate[K] };

/** `own`: not set, it is the setting's, which an empty text is not. */
export type Kind = "line" | "area" | "number" | "switch" | "list" | "map" | "json" | "own area" | "own line" | "own list" | "choice";

type Section = keyof typeof text.assistants.sections;

export const SECTIONS: Record<Section, Partial<Record<FieldName, Kind>>> = {
  words: { instructions: "own area", greeting: "own line", languages: "list", description: "line" },
  speech: { stt: "line", stt_model: "line", tts: "line", tts_model: "line", voice: "line", voices: "map", speed: "number" },
  turns: {
    turn_detection: "choice",
    vad_engine: "choice",
    vad_min_silence: "number",
    endpointing_min_delay: "number",
    endpointing_max_delay: "number",
    preemptive_generation: "switch",
    filler_after: "number",
  },
  models: { pool: "line", policy: "line", tools: "own list", http_tools: "json", mcp_servers: "json" },
  limits: { max_seconds: "number", idle_after: "number", idle_questions: "number" },
  storage: { keep: "choice", keep_days: "number", redact_card_numbers: "switch" },
  sharing: { visibility: "choice", team: "line", owner: "line" },
};

/** Fields whose empty text is stored as it is. */
const PLAIN: ReadonlySet<FieldName> = new Set(["description", "team", "owner"]);

/** Writes a value as the form shows it. */
export function written(kind: Kind, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (kind === "list" || kind === "own list") return (value as string[]).join(", ");
  if (kind === "map") return Object.entries(value as Record<string, string>).map(([name, of]) => `${name} = ${of}`).join("\n");
  if (kind === "json") return (value as unknown[]).length ? JSON.stringify(value, null, 2) : "";
  return String(value);
}

/** Reads what was typed; undefined: it cannot be understood. */
export function read(kind: Kind, name: FieldName, typed: string): unknown {
  switch (kind) {
    case "number":
      return typed === "" ? null : Number(typed);
    case "list":
    case "own list":
      return words(typed);
    case "map":
      return Object.fromEntries(typed.split("\n").map((line) => line.split("=").map((part) => part.trim())).filter((pair) => pair.length === 2 && pair[0]));
    case "json":
      return typed.trim() === "" ? [] : json(typed);
    case "own area":
    case "own line":
      return typed;
    default:
      return typed === "" && !PLAIN.has(name) ? null : typed;
  }
}

const words = (typed: string) => typed.split(",").map((word) => word.trim()).filter(Boolean);

function json(typed: string): unknown {
  try {
    const value: unknown = JSON.parse(typed);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the value of a field, with the changes that are not published. */
export function valueOf(begun: Assistant, draft: Draft, name: FieldName): unknown {
  return name in draft ? draft[name] : begun[name];
}
