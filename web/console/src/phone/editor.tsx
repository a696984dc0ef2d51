/** Changes the telephone's file: a preview first, the text before stays as a version, and nothing typed is lost. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useBlocker } from "@tanstack/react-router";

import { api, ask, type Schemas } from "../api/client";
import { isStale, useDraft } from "../draft";
import { time } from "../format";
import { text } from "../text";
import { Button, Empty, Field, Trouble } from "../ui/kit";
import { Merge } from "../ui/merge";
import { useToasts } from "../ui/toasts";
import { changes } from "../values";
import { PhoneSetup } from "./page";

type File = Schemas["PhoneFileRead"];
interface Draft {
  text?: string;
}

const words = text.phone.editor;
const FILE = ["phone", "file"];
const VERSIONS = ["phone", "versions"];
const readFile = () => ask(api.GET("/api/phone/file"));

export function PhoneEditor({ onClose }: { onClose: () => void }) {
  const found = useQuery({ queryKey: FILE, queryFn: readFile, staleTime: 0, refetchOnWindowFocus: false });
  if (found.isPending) return <p className="waiting">{text.loading}</p>;
  if (!found.data) return <Trouble error={found.error as Error} onRetry={() => void found.refetch()} />;
  return <Editor stored={found.data} onClose={onClose} />;
}

function Editor({ stored, onClose }: { stored: File; onClose: () => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const { begun, setBegun, draft, setDraft, mine, theirs, setTheirs, merge } = useDraft<File, Draft>(stored, {});
  const typed = draft.text ?? begun.text;
  const isChanged = mine.text !== undefined;
  const mayLeave = () => !isChanged || confirm(words.leave);
  useBlocker({ shouldBlockFn: () => !mayLeave(), enableBeforeUnload: isChanged });
  const check = useMutation({ mutationFn: (of: string) => ask(api.POST("/api/phone/check", { body: { text: of } })) });
  const save = useMutation({
    mutationFn: (sent: { text: string }) => ask(api.PUT("/api/phone/file", { body: { ...sent, version: begun.version } })),
    onSuccess: (written, sent) => {
      toasts.say(words.saved);
      setBegun(written);
      // What was typed meanwhile stays.
      setDraft((before) => changes(before, sent));
      queries.setQueryData(FILE, written);
      void queries.invalidateQueries({ queryKey: ["phone"] });
    },
    onError: async (error) => {
      if (isStale(error)) setTheirs(await queries.fetchQuery({ queryKey: FILE, queryFn: readFile, staleTime: 0 }));
    },
  });
  const set = (value: string) => {
    setDraft({ text: value });
    check.reset();
    save.reset();
  };
  return (
    <>
      <div className="title">
        <h1>{words.title}</h1>
        <Button onClick={() => mayLeave() && onClose()}>{text.close}</Button>
      </div>
      {!begun.is_writable && <p className="hint">{words.readOnly}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          check.mutate(typed);
        }}
      >
        <Field label={words.file} hint={words.hint}>
          {(ids) => <textarea {...ids} className="code" rows={24} spellCheck={false} dir="ltr" maxLength={1_000_000} value={typed} onChange={(event) => set(event.target.value)} />}
        </Field>
        {check.isError && <Trouble error={check.error} />}
        {save.isError && !isStale(save.error) && <Trouble error={save.error} />}
        <div className="inline">
          <Button type="submit" disabled={check.isPending}>
            {words.check}
          </Button>
          <Button kind="main" disabled={!isChanged || !check.isSuccess || save.isPending || !begun.is_writable} onClick={() => save.mutate({ text: typed })}>
            {words.save}
          </Button>
        </div>
      </form>
      {check.data && (
        <section aria-label={words.checked}>
          <h2>{words.checked}</h2>
          <PhoneSetup of={check.data} />
        </section>
      )}
      <Versions onOpen={set} />
      {theirs && <Merge title={words.title} labels={{ text: words.merge }} begun={begun} theirs={theirs} mine={mine} onClose={() => setTheirs(null)} onChosen={merge} />}
    </>
  );
}

function Versions({ onOpen }: { onOpen: (text: string) => void }) {
  const toasts = useToasts();
  const found = useQuery({ queryKey: VERSIONS, queryFn: () => ask(api.GET("/api/phone/versions")) });
  const open = useMutation({
    mutationFn: (name: string) => ask(api.GET("/api/phone/versions/{name}", { params: { path: { name } } })),
    onSuccess: (earlier) => {
      onOpen(earlier.text);
      toasts.say(words.opened);
    },
    onError: toasts.fail,
  });
  return (
    <section>
      <h2>{words.versions}</h2>
      {found.data && !found.data.items.length && <Empty>{words.noVersions}</Empty>}
      <ul className="history">
        {found.data?.items.map(({ name, until }) => (
          <li key={name}>
            {words.until(time(until))}{" "}
            <Button kind="link" onClick={() => open.mutate(name)}>
              {words.open}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
