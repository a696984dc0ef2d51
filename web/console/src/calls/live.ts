/** Follows calls by server-sent events. */

import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";

import type { Call, CallItem } from "../api/client";

/** Milliseconds for which changes are gathered, so that a hundred calls draw the page once. */
const GATHER = 250;

/** Milliseconds for which the items of one call are gathered. */
const DRAW = 50;

/** Milliseconds after which a stream that was refused is asked for again. */
const AGAIN = 5_000;

/**
 * Follows a stream; returns what stops it. Browsers ask again by themselves, after the last event, where nobody
 * answers; one that is refused is asked for here, from its begin, and `onRefused` is called before.
 */
function follow(path: string, listeners: Record<string, (event: MessageEvent<string>) => void>, onRefused: () => void): () => void {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const open = () => {
    source = new EventSource(path);
    for (const [name, listener] of Object.entries(listeners)) source.addEventListener(name, listener as EventListener);
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, AGAIN);
      onRefused();
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

/** Reads again what the page shows of calls: a session that has ended, or a call that is gone, is noticed by that. */
function useReadAgain(): () => void {
  const queries = useQueryClient();
  return useCallback(() => void queries.invalidateQueries({ queryKey: ["calls"] }), [queries]);
}

export interface CallNews {
  changed: Map<string, Call>;
  removed: Set<string>;
}

/** Calls `onNews` with the changes of all calls, gathered. Returns whether the stream is open. */
export function useCallStream(onNews: (news: CallNews) => void): boolean {
  const [isOpen, setOpen] = useState(false);
  const readAgain = useReadAgain();
  useEffect(() => {
    const known = new Set<string>();
    let isAnew = false;
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
    const stop = follow(
      "/api/calls/stream",
      {
        open: () => {
          setOpen(true);
          if (!isAnew) return;
          // From its begin, the stream does not say which calls have ended meanwhile.
          isAnew = false;
          news = { changed: new Map(), removed: new Set(known) };
          gather();
        },
        error: () => setOpen(false),
        call: ({ data }) => {
          const call = JSON.parse(data) as Call;
          known.add(call.id);
          news.removed.delete(call.id);
          news.changed.set(call.id, call);
          gather();
        },
        removed: ({ data }) => {
          news.removed.add((JSON.parse(data) as { id: string }).id);
          gather();
        },
      },
      () => {
        isAnew = true;
        readAgain();
      },
    );
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [onNews, readAgain]);
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
  const readAgain = useReadAgain();
  useEffect(() => {
    const items = new Map<number, CallItem>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onCall = ({ data }: MessageEvent<string>) => setFollowed((before) => ({ ...before, call: JSON.parse(data) as Call }));
    const onItem = ({ data }: MessageEvent<string>) => {
      const item = JSON.parse(data) as CallItem;
      items.set(item.number, item);
      // The hundreds of a long call come at once, and are drawn once.
      timer ??= setTimeout(() => {
        timer = undefined;
        setFollowed((before) => ({ ...before, items: [...items.values()] }));
      }, DRAW);
    };
    const onEnd = (event: MessageEvent<string>) => {
      onCall(event);
      setFollowed((before) => ({ ...before, isOver: true }));
      stop();
    };
    const stop = follow(`/api/calls/${encodeURIComponent(id)}/stream`, { call: onCall, item: onItem, end: onEnd }, readAgain);
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [id, readAgain]);
  return followed;
}
