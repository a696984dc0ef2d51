/** One side of the studio: a chat that is stored, or one that is about to be. */

import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { api, ask } from "../api/client";
import { text } from "../text";
import { useToasts } from "../ui/toasts";
import { changes } from "../values";
import { liveOf, read, useLive } from "./live";
import { followReply, sendMessage, writeAgain, type Step } from "./reply";
import { settingsOf, type Beginning, type Past, type Settings } from "./types";

export const CHATS = ["chats"];

export const chatQueryOptions = (id: string) =>
  queryOptions({
    queryKey: [...CHATS, "one", id],
    queryFn: () => ask(api.GET("/api/chats/{chat_id}", { params: { path: { chat_id: id } } })),
  });

interface Asking {
  /** The message to send; empty: the last question of the beginning is answered. */
  content: string;
  after?: number | undefined;
  /** Called once the message is stored. */
  onStored: () => void;
}

export type Side = ReturnType<typeof useChat>;

/** `id`: of a stored chat, or undefined; `onCreated` is called with its id once it is stored. */
export function useChat(id: string | undefined, beginning: Beginning | null, onCreated: (id: string) => void) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const stored = useQuery({ ...chatQueryOptions(id ?? ""), enabled: id !== undefined });
  const [changed, setChanged] = useState<Partial<Settings>>({});
  const live = useLive(id ?? "");
  const fresh = { ...settingsOf(undefined, {}), system_prompt: beginning?.system_prompt ?? "" };
  const settings = settingsOf(id === undefined ? fresh : stored.data, changed);
  const refresh = () => void queries.invalidateQueries({ queryKey: CHATS });

  /** What is set while these are being stored stays to be sent. */
  const setStored = (sent: Partial<Settings>) => setChanged((before) => changes(before, sent));

  /** Stores the settings as they are now; returns the chat's id. */
  async function storeSettings(): Promise<string> {
    if (id === undefined) {
      const made = await ask(api.POST("/api/chats", { body: { ...settings, history: beginning?.history ?? [] } }));
      setStored(settings);
      onCreated(made.id);
      return made.id;
    }
    if (Object.keys(changed).length) {
      await ask(api.PATCH("/api/chats/{chat_id}", { params: { path: { chat_id: id } }, body: changed }));
      setStored(changed);
    }
    return id;
  }

  function follow(chat: string, steps: AsyncGenerator<Step, void>, onStored: () => void, reply = 0): Promise<void> {
    const onBegun = () => {
      onStored();
      refresh();
    };
    return read(chat, steps, onBegun, reply);
  }

  const asking = useMutation({
    mutationFn: async ({ content, after, onStored }: Asking) => {
      const last = id === undefined ? (beginning?.history.length ?? 0) : 0;
      if (!content && !last) return;
      const chat = await storeSettings();
      await follow(chat, content ? sendMessage(chat, content, after) : writeAgain(chat, last), onStored);
    },
    onSettled: refresh,
  });
  const again = useMutation({
    mutationFn: async (number: number) => {
      const chat = await storeSettings();
      await follow(chat, writeAgain(chat, number), () => undefined);
    },
    onSettled: refresh,
  });
  const { mutate: takeUp, ...taken } = useMutation({
    mutationFn: ({ chat, number }: { chat: string; number: number }) => follow(chat, followReply(chat, number), () => undefined, number),
    onSettled: refresh,
  });
  const isShown = useRef(true);
  useEffect(() => {
    isShown.current = true;
    return () => void (isShown.current = false);
  }, []);
  const keep = useMutation({
    mutationFn: async (history: Past[]) => {
      const made = await ask(api.POST("/api/chats", { body: { ...settings, history } }));
      // Who has gone to another page or chat stays there.
      if (!isShown.current) {
        toasts.say(text.talk.kept);
        return;
      }
      setStored(settings);
      onCreated(made.id);
    },
    onSettled: refresh,
  });
  const choose = useMutation({
    mutationFn: (number: number) => ask(api.POST("/api/chats/{chat_id}/messages/{number}/choose", { params: { path: { chat_id: id ?? "", number } } })),
    onSuccess: (chosen) => queries.setQueryData(chatQueryOptions(chosen.id).queryKey, chosen),
  });
  const stop = useMutation({
    mutationFn: (number: number) => ask(api.POST("/api/chats/{chat_id}/messages/{number}/stop", { params: { path: { chat_id: id ?? "", number } } })),
  });

  // A reply that was begun before this page was opened, or elsewhere, is read from its begin.
  const runs = stored.data?.path.find(({ status }) => status === "running")?.number;
  useEffect(() => {
    if (id !== undefined && runs !== undefined && !liveOf(id)) takeUp({ chat: id, number: runs });
  }, [id, runs, takeUp]);

  const latest = [asking, again, taken, keep, choose, stop].reduce((one, other) => (other.submittedAt > one.submittedAt ? other : one));
  return {
    id,
    stored,
    beginning: id === undefined ? beginning : null,
    settings,
    set: (values: Partial<Settings>) => setChanged((before) => ({ ...before, ...values })),
    live,
    isBusy: live !== null || asking.isPending || again.isPending,
    ask: (values: Asking) => asking.mutate(values),
    again: (number: number) => again.mutate(number),
    /** Stores a conversation as a chat of its own, which takes this one's place. */
    keep: (history: Past[]) => keep.mutateAsync(history),
    choose: (number: number) => choose.mutate(number),
    stop: () => live?.reply && stop.mutate(live.reply),
    error: latest.error,
  };
}
