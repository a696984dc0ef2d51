/** Asks the server for a stream of events, and reads it as it comes. */

import { Unreachable } from "./api";
import { within } from "./time";

/** An event of the server's stream; `id` is empty for one that is no place to come back to. */
export interface ServerEvent {
  readonly id: string;
  readonly name: string;
  readonly data: Record<string, unknown>;
}

/** Time (ms) without a byte after which a connection counts as dead: the server gives a sign of life every 15 s. */
const SILENT_MS = 40_000;

/** Asks the server; a request that is given up goes no further. Throws if it fails, or is silent for long. */
export async function answerTo(ask: (signal: AbortSignal) => Promise<Response>, signal: AbortSignal): Promise<Response> {
  const asking = new AbortController();
  const giveUp = () => asking.abort();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await within(SILENT_MS, ask(asking.signal));
  } catch (error) {
    giveUp();
    throw error;
  }
}

/** Yields the events of an answer as they come. Throws Unreachable if it breaks off, or is silent for long. */
export async function* eventsOf(answer: Response): AsyncGenerator<ServerEvent> {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece: ReadableStreamReadResult<string> | undefined;
    try {
      piece = await (reader && within(SILENT_MS, reader.read()));
    } catch (cause) {
      void reader?.cancel().catch(() => undefined);
      throw new Unreachable("the answer broke off", { cause });
    }
    if (!piece || piece.done) return;
    const blocks = (rest + piece.value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block: string): ServerEvent | null {
  const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  const name = fields.get("event");
  if (!name) return null;
  try {
    return { id: fields.get("id") ?? "", name, data: JSON.parse(fields.get("data") ?? "{}") as Record<string, unknown> };
  } catch {
    return null;
  }
}
