/** Follows calls by server-sent events. */

import { useCallback, useEffect, useRef, useState } from "react";

import type { Call, CallItem } from "../api/client";

/** Milliseconds for which changes are gathered, so that a hundred calls draw the page once. */
const GATHER = 250;

/** Milliseconds for which the items of one call are gathered. */
const DRAW = 50;

export interface CallNews {
  changed: Map<string, Call>;
  removed: Set<string>;
}

/** Calls `onNews` with the changes of all calls, gathered. Returns whether the stream is open. */
export function useCallStream(onNews: (news: CallNews) => void): boolean {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const source = new EventSource("/api/calls/stream");
    let news: CallNews = { changed: new Map(), removed: new Set() };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const gather = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        const gathered = news;
        news = { changed: new Map(), removed: new Set() };
        onNews(gathered);
      }, GATHER);
    };
    source.addEventListener("open", () => setOpen(true));
    source.addEventListener("error", () => setOpen(false));
    source.addEventListener("call", ({ data }: MessageEvent<string>) => {
      const call = JSON.parse(data) as Call;
      news.changed.set(call.id, call);
      gather();
    });
    source.addEventListener("removed", ({ data }: MessageEvent<string>) => {
      news.removed.add((JSON.parse(data) as { id: string }).id);
      gather();
    });
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [onNews]);
  return isOpen;
}

/** Milliseconds from one reading of a list to the next, however often it changes. */
const BETWEEN = 1_000;

/** Returns a function that reads again: at once, but never beside a reading that is under way, which it would undo. */
export function useCalmly(read: () => Promise<unknown>): () => void {
  const state = useRef({ isBusy: false, isDue: false });
  return useCallback(() => {
    const now = state.current;
    now.isDue = true;
    if (now.isBusy) return;
    now.isBusy = true;
    void (async () => {
      while (now.isDue) {
        now.isDue = false;
        await read().catch(() => undefined); // the query itself shows what went wrong
        await new Promise((done) => setTimeout(done, BETWEEN));
      }
      now.isBusy = false;
    })();
  }, [read]);
}

export interface FollowedCall {
  call: Call | null;
  items: CallItem[];
  isOver: boolean;
}

/** Returns a call as the server has it by now; it is followed until it ends. */
export function useFollowedCall(id: string): FollowedCall {
  const [followed, setFollowed] = useState<FollowedCall>({ call: null, items: [], isOver: false });
  useEffect(() => {
    const source = new EventSource(`/api/calls/${encodeURIComponent(id)}/stream`);
    const items = new Map<number, CallItem>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onCall = ({ data }: MessageEvent<string>) => setFollowed((before) => ({ ...before, call: JSON.parse(data) as Call }));
    source.addEventListener("call", onCall);
    source.addEventListener("item", ({ data }: MessageEvent<string>) => {
      const item = JSON.parse(data) as CallItem;
      items.set(item.number, item);
      // The hundreds of a long call come at once, and are drawn once.
      timer ??= setTimeout(() => {
        timer = undefined;
        setFollowed((before) => ({ ...before, items: [...items.values()] }));
      }, DRAW);
    });
    source.addEventListener("end", (event: MessageEvent<string>) => {
      onCall(event);
      setFollowed((before) => ({ ...before, isOver: true }));
      source.close();
    });
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [id]);
  return followed;
}
