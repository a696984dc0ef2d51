/** Adds a site, or edits one. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask, Problem } from "../api/client";
import { ASSISTANTS } from "../assistants/queries";
import { isStale, useDraft } from "../draft";
import { text } from "../text";
import { ConfirmRemoval } from "../ui/confirm";
import { Button, Choice, Dialog, Field, Trouble } from "../ui/kit";
import { Merge } from "../ui/merge";
import { useToasts } from "../ui/toasts";
import { SITES, type Site, type SiteDraft } from "./queries";
import { SiteVersions } from "./versions";

const words = text.sites;
const NUMBERS = ["calls_at_once", "calls_per_minute", "calls_per_visitor", "longest_call", "spend_per_day"] as const;
const MODES = ["text", "voice"] as const;

interface SiteEditorProps {
  of?: Site;
  onClose: () => void;
  onStored: (site: Site) => void;
}

export function SiteEditor({ of, onClose, onStored }: SiteEditorProps) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const [isRemoving, setRemoving] = useState(false);
  const [isShowing, setShowing] = useState(false);
  const { begun, draft, mine, theirs, setTheirs, merge, value, set } = useDraft<Partial<Site>, SiteDraft>(of ?? { assistant: "default", modes: [...MODES], origins: [] }, {});
  const save = useMutation({
    mutationFn: () => {
      if (!of) return ask(api.POST("/api/sites", { body: { ...begun, ...draft } as never }));
      const body = { ...mine, version: begun.version ?? null };
      return ask(api.PATCH("/api/sites/{site_name}", { params: { path: { site_name: of.name } }, body }));
    },
    onSuccess: async (stored) => {
      toasts.say((of ? words.saved : words.created)(stored.name));
      await queries.invalidateQueries({ queryKey: SITES });
      onStored(stored);
    },
    onError: async (error) => {
      if (of && isStale(error)) setTheirs(await ask(api.GET("/api/sites/{site_name}", { params: { path: { site_name: of.name } } })));
    },
  });
  if (theirs && of) {
    return (
      <Merge
        title={words.edit(of.name)}
        labels={words.fields}
        begun={begun}
        theirs={theirs}
        mine={mine}
        onClose={() => {
          setTheirs(null);
          save.reset();
        }}
        onChosen={(merged) => {
          merge(merged);
          save.reset();
        }}
      />
    );
  }
  if (of && isRemoving) return <Remove of={of} onClose={() => setRemoving(false)} onRemoved={onClose} />;
  const faults = save.error instanceof Problem ? save.error.fields : {};
  const number = (typed: string) => (typed === "" ? null : Number(typed));
  return (
    <Dialog title={of ? words.edit(of.name) : words.add} onClose={onClose} wide>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        {!of && (
          <Field label={words.fields.name} hint={words.hints.name} error={faults.name}>
            {(ids) => <input {...ids} required pattern="[a-z0-9][a-z0-9_\-]{0,63}" autoComplete="off" value={value("name") ?? ""} onChange={(event) => set({ name: event.target.value })} />}
          </Field>
        )}
        <Field label={words.fields.origins} hint={words.hints.origins} error={faults.origins}>
          {(ids) => <textarea {...ids} required rows={3} value={(value("origins") ?? []).join("\n")} onChange={(event) => set({ origins: event.target.value.split("\n") })} />}
        </Field>
        <AssistantChoice value={value("assistant") ?? "default"} error={faults.assistant} onChange={(assistant) => set({ assistant })} />
        <fieldset>
          <legend>{words.fields.modes}</legend>
          {MODES.map((mode) => (
            <label key={mode} className="check">
              <input type="checkbox" checked={(value("modes") ?? []).includes(mode)} onChange={(event) => set({ modes: MODES.filter((one) => (one === mode ? event.target.checked : (value("modes") ?? []).includes(one))) })} />
              {words.modes[mode]}
            </label>
          ))}
        </fieldset>
        <div className="grid">
          {NUMBERS.map((field) => (
            <Field key={field} label={words.fields[field]} hint={words.hints.limit} error={faults[field]}>
              {(ids) => <input {...ids} type="number" min={0} step="any" value={value(field) ?? ""} onChange={(event) => set({ [field]: number(event.target.value) })} />}
            </Field>
          ))}
        </div>
        <Field label={words.fields.consent} hint={words.hints.consent} error={faults.consent}>
          {(ids) => <textarea {...ids} rows={2} maxLength={2_000} value={value("consent") ?? ""} onChange={(event) => set({ consent: event.target.value })} />}
        </Field>
        <Choice label={words.fields.keep} value={value("keep") ?? undefined} options={words.keeps} usual={words.usual} onChange={(keep) => set({ keep: keep ?? null })} />
        <Field label={words.fields.keep_days} hint={words.hints.usual} error={faults.keep_days}>
          {(ids) => <input {...ids} type="number" min={1} value={value("keep_days") ?? ""} onChange={(event) => set({ keep_days: number(event.target.value) })} />}
        </Field>
        <Field label={words.fields.description} error={faults.description}>
          {(ids) => <input {...ids} maxLength={300} value={value("description") ?? ""} onChange={(event) => set({ description: event.target.value })} />}
        </Field>
        {of && (
          <details onToggle={(event) => setShowing(event.currentTarget.open)}>
            <summary>{words.versions.title}</summary>
            {isShowing && <SiteVersions of={of} isChanged={Object.keys(mine).length > 0} onRestored={onStored} />}
          </details>
        )}
        {save.isError && <Trouble error={save.error} />}
        <footer>
          {of && (
            <Button kind="danger" onClick={() => setRemoving(true)}>
              {text.remove}
            </Button>
          )}
          <Button onClick={onClose}>{text.cancel}</Button>
          <Button kind="main" type="submit" disabled={save.isPending}>
            {text.save}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function AssistantChoice({ value, error, onChange }: { value: string; error: string | undefined; onChange: (name: string) => void }) {
  const found = useQuery({ queryKey: [...ASSISTANTS, "names"], queryFn: () => ask(api.GET("/api/assistants", { params: { query: { limit: 200 } } })) });
  return (
    <Field label={words.fields.assistant} error={error}>
      {(ids) => (
        <>
          <input {...ids} required autoComplete="off" list={`${ids.id}-names`} value={value} onChange={(event) => onChange(event.target.value)} />
          <datalist id={`${ids.id}-names`}>
            {found.data?.items.map(({ name }) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}

function Remove({ of, onClose, onRemoved }: { of: Site; onClose: () => void; onRemoved: () => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/sites/{site_name}", { params: { path: { site_name: of.name }, query: { version: of.version } } })),
    onSuccess: () => {
      toasts.say(words.removed(of.name));
      onRemoved();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: SITES }),
  });
  return (
    <ConfirmRemoval title={words.removeTitle(of.name)} removal={remove} onClose={onClose}>
      {words.removeText}
    </ConfirmRemoval>
  );
}
