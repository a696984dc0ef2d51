/** Has replies of chats written, and reads them to their end: a connection that breaks is taken up again. */

import { api, ask, Problem } from "../api/client";
import { text } from "../text";
import { serverEvents } from "./sse";

export interface Begun {
  message: number;
  reply: number;
}

export type Step = { kind: "begun"; begun: Begun } | { kind: "text"; text: string };

type Body = ReadableStream<Uint8Array<ArrayBuffer>> | null | undefined;

const MOST_TRIES = 5;
/** Milliseconds before a lost connection is taken up again; a reply without a reader ends after ten seconds. */
const PAUSE = 700;

const STREAM = { parseAs: "stream" } as const;

/** Sends a message, after another one if `after` is given, and yields the reply. */
export function sendMessage(chat: string, content: string, after?: number): AsyncGenerator<Step, void> {
  const body = { content, after: after ?? null, stream: true };
  return steps(chat, () => ask<Body>(api.POST("/api/chats/{chat_id}/messages", { params: { path: { chat_id: chat } }, body, ...STREAM }) as never));
}

/** Has another reply written beside this one, or to this message of yours, and yields it. */
export function writeAgain(chat: string, number: number): AsyncGenerator<Step, void> {
  const path = { chat_id: chat, number };
  return steps(chat, () => ask<Body>(api.POST("/api/chats/{chat_id}/messages/{number}/regenerate", { params: { path }, body: { stream: true }, ...STREAM }) as never));
}

/** Yields a reply from its begin, and follows it. */
export function followReply(chat: string, number: number): AsyncGenerator<Step, void> {
  return steps(chat, () => follow(chat, number, ""), number);
}

function follow(chat: string, number: number, last: string): Promise<Body> {
  const path = { chat_id: chat, number };
  const header = last ? { "Last-Event-ID": last } : {};
  return ask<Body>(api.GET("/api/chats/{chat_id}/messages/{number}/stream", { params: { path }, headers: header, ...STREAM }) as never);
}

async function* steps(chat: string, begin: () => Promise<Body>, known = 0): AsyncGenerator<Step, void> {
  let body = await begin();
  let number = known;
  let last = "";
  for (let broken = 0; ; ) {
    try {
      for await (const { id, name, data } of body ? serverEvents(body) : []) {
        broken = 0;
        last = id || last;
        if (name === "error") throw new Problem(0, data as { detail: string });
        if (name === "end") return;
        if (name === "text") yield { kind: "text", text: (data as { text: string }).text };
        if (name === "question") {
          number = (data as Begun).reply;
          yield { kind: "begun", begun: data as Begun };
        }
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    broken += 1;
    if (!number || broken > MOST_TRIES) throw new Problem(0, { detail: text.chat.lost });
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    try {
      body = await follow(chat, number, last);
      if (!body) return;
    } catch (error) {
      if (error instanceof Problem && error.status > 0 && error.status < 500) throw error;
      body = null;
    }
  }
}
