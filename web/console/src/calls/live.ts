/** Follows calls by server-sent events. */

import { useEffect, useState } from "react";

import type { Call, CallItem } from "../api/client";

/** Milliseconds for which changes are gathered, so that a hundred calls draw the page once. */
const GATHER = 250;

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
    const onCall = ({ data }: MessageEvent<string>) => setFollowed((before) => ({ ...before, call: JSON.parse(data) as Call }));
    source.addEventListener("call", onCall);
    source.addEventListener("item", ({ data }: MessageEvent<string>) => {
      const item = JSON.parse(data) as CallItem;
      setFollowed((before) => ({ ...before, items: [...before.items.filter((one) => one.number !== item.number), item] }));
    });
    source.addEventListener("end", (event: MessageEvent<string>) => {
      onCall(event);
      setFollowed((before) => ({ ...before, isOver: true }));
      source.close();
    });
    return () => source.close();
  }, [id]);
  return followed;
}
