/** One assistant: edited, tried before it is published, and its versions. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useBlocker } from "@tanstack/react-router";
import { useState } from "react";

import { api, ask, Problem } from "../api/client";
import { isStale, useDraft } from "../draft";
import { useMe } from "../session";
import { text } from "../text";
import { ConfirmRemoval } from "../ui/confirm";
import { Badge, Button, Dialog, Empty, Trouble } from "../ui/kit";
import { Merge } from "../ui/merge";
import { useToasts } from "../ui/toasts";
import { Differences } from "./differences";
import { AssistantField } from "./field";
import { SECTIONS, valueOf, type Assistant, type Draft, type FieldName, type Kind } from "./fields";
import { ASSISTANTS, assistantQueryOptions, mayChange, mayRead } from "./queries";
import { Trial } from "./trial";
import { Versions } from "./versions";

const route = getRouteApi("/assistants/$name");
const words = text.assistants;

export function AssistantPage() {
  const me = useMe();
  const { name } = route.useParams();
  const found = useQuery({ ...assistantQueryOptions(name), enabled: mayRead(me) });
  if (!mayRead(me)) return <Empty title={words.title}>{words.mayNotRead(me.role)}</Empty>;
  if (found.isPending) return <p className="waiting">{text.loading}</p>;
  if (!found.data && found.error instanceof Problem && [404, 422].includes(found.error.status)) return <Empty>{words.gone}</Empty>;
  if (!found.data) return <Trouble error={found.error as Error} onRetry={() => void found.refetch()} />;
  return <Editor key={name} stored={found.data} />;
}

/** Holds what is typed, apart from what is published: neither a later version nor a sign-in touches it. */
function Editor({ stored }: { stored: Assistant }) {
  const me = useMe();
  const queries = useQueryClient();
  const toasts = useToasts();
  const { begun, setBegun, draft, setDraft, mine, theirs, setTheirs, merge } = useDraft<Assistant, Draft>(stored, {});
  const [opened, setOpened] = useState<"" | "publish" | "remove">("");
  const count = Object.keys(mine).length;
  const may = mayChange(me, stored);
  // Without a draft, the page shows the newest version.
  if (!count && stored.version > begun.version) setBegun(stored);
  useBlocker({ shouldBlockFn: () => count > 0 && !confirm(words.leave), enableBeforeUnload: count > 0 });
  const name = begun.name;
  const take = (published: Assistant) => {
    setBegun(published);
    setDraft({});
    queries.setQueryData(assistantQueryOptions(name).queryKey, published);
  };
  const publish = useMutation({
    mutationFn: () => ask(api.PATCH("/api/assistants/{assistant_name}", { params: { path: { assistant_name: name } }, body: { ...mine, version: begun.version } })),
    onSuccess: (published) => {
      toasts.say(words.published(published.version));
      take(published);
      setOpened("");
    },
    onError: async (error) => {
      if (isStale(error)) {
        setTheirs(await queries.fetchQuery({ ...assistantQueryOptions(name), staleTime: 0 }));
        setOpened("");
      }
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ASSISTANTS }),
  });
  const faults = publish.error instanceof Problem ? publish.error.fields : {};
  return (
    <>
      <div className="title">
        <h1>{name}</h1>
        <Badge>{begun.source === "file" ? words.sources.file : words.versions.version(begun.version)}</Badge>
        {count > 0 && (
          <>
            <Badge tone="warn">{words.changed(count)}</Badge>
            <Button onClick={() => setDraft({})}>{words.discard}</Button>
          </>
        )}
        {may && (
          <>
            <Button
              kind="main"
              disabled={!count}
              onClick={() => {
                publish.reset();
                setOpened("publish");
              }}
            >
              {words.publish}
            </Button>
            <Button kind="danger" onClick={() => setOpened("remove")}>
              {text.remove}
            </Button>
          </>
        )}
      </div>
      {begun.source === "file" && (
        <p className="hint">
          {words.inFile} {mayChange(me) && <CopyToStore name={name} onCopied={take} />}
        </p>
      )}
      {begun.source !== "file" && !may && <p className="hint">{words.mayNotChange}</p>}
      <div className="halves">
        <Form begun={begun} draft={draft} faults={faults} mayChange={may} isAdmin={me.role === "admin"} onChange={(field, value) => setDraft((before) => ({ ...before, [field]: value }))} />
        <div>
          {(may || (begun.source === "file" && mayChange(me))) && <Trial name={name} draft={mine} />}
          {begun.source === "stored" && <Versions of={stored.version > begun.version ? stored : begun} mayChange={may} isChanged={count > 0} onRestored={take} />}
        </div>
      </div>
      {opened === "publish" && (
        <Dialog title={words.publishTitle(name)} onClose={() => setOpened("")} wide>
          <p>{words.publishText}</p>
          <Differences fields={Object.entries(mine).map(([field, after]) => ({ field, before: begun[field as FieldName], after }))} />
          {publish.isError && <Trouble error={publish.error} />}
          <footer>
            <Button onClick={() => setOpened("")}>{text.cancel}</Button>
            <Button kind="main" disabled={publish.isPending} onClick={() => publish.mutate()}>
              {words.publishNow}
            </Button>
          </footer>
        </Dialog>
      )}
      {theirs && (
        <Merge
          title={words.edit(name)}
          labels={words.fields}
          begun={begun}
          theirs={theirs}
          mine={mine}
          onClose={() => setTheirs(null)}
          onChosen={(merged) => {
            merge(merged);
            publish.reset();
          }}
        />
      )}
      {opened === "remove" && <Remove of={begun} onClose={() => setOpened("")} onRemoved={() => setDraft({})} />}
    </>
  );
}

/** Stores an assistant of the file, so that it can be changed here. */
function CopyToStore({ name, onCopied }: { name: string; onCopied: (stored: Assistant) => void }) {
  const toasts = useToasts();
  const queries = useQueryClient();
  const copy = useMutation({
    mutationFn: () => ask(api.POST("/api/assistants/{assistant_name}/copy", { params: { path: { assistant_name: name } } })),
    onSuccess: (stored) => {
      toasts.say(words.copied(name));
      onCopied(stored);
    },
    onError: toasts.fail,
    onSettled: () => queries.invalidateQueries({ queryKey: ASSISTANTS }),
  });
  return (
    <Button disabled={copy.isPending} onClick={() => copy.mutate()}>
      {words.copy}
    </Button>
  );
}

interface FormProps {
  begun: Assistant;
  draft: Draft;
  faults: Record<string, string>;
  mayChange: boolean;
  isAdmin: boolean;
  onChange: (field: FieldName, value: unknown) => void;
}

function Form({ begun, draft, faults, mayChange: may, isAdmin, onChange }: FormProps) {
  return (
    <form className="sections" onSubmit={(event) => event.preventDefault()}>
      {Object.entries(SECTIONS).map(([section, fields], index) => (
        <details key={section} open={index === 0}>
          <summary>{words.sections[section as keyof typeof SECTIONS]}</summary>
          <fieldset className="plain" disabled={!may}>
            <legend className="hidden">{words.sections[section as keyof typeof SECTIONS]}</legend>
            {(Object.entries(fields) as [FieldName, Kind][])
              .filter(([field]) => field !== "owner" || isAdmin)
              .map(([field, kind]) => (
                <AssistantField key={field} name={field} kind={kind} value={valueOf(begun, draft, field)} error={faults[field]} onChange={(value) => onChange(field, value)} />
              ))}
          </fieldset>
        </details>
      ))}
    </form>
  );
}

function Remove({ of, onClose, onRemoved }: { of: Assistant; onClose: () => void; onRemoved: () => void }) {
  const toasts = useToasts();
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/assistants/{assistant_name}", { params: { path: { assistant_name: of.name }, query: { version: of.version } } })),
    onSuccess: () => {
      onRemoved();
      toasts.say(words.removed(of.name));
      void navigate({ to: "/assistants", ignoreBlocker: true });
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ASSISTANTS }),
  });
  return (
    <ConfirmRemoval title={words.removeTitle(of.name)} removal={remove} onClose={onClose}>
      {words.removeText}
    </ConfirmRemoval>
  );
}
