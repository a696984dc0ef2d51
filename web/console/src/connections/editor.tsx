/** Adds a connection, or edits one: the type first, then the fields that it needs, and a test. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, ask, Problem, type Connection, type ConnectionCreate, type ConnectionUpdate } from "../api/client";
import { isStale, useDraft } from "../draft";
import { text } from "../text";
import { Button, Dialog, Field, Trouble } from "../ui/kit";
import { Merge } from "../ui/merge";
import { useToasts } from "../ui/toasts";
import { ADDRESSES, neededFields, NUMBERS, optionalFields, type FieldName } from "./fields";
import { connectionQueryOptions, KEY } from "./queries";
import { TestReport } from "./test_report";

const words = text.editor;
const LABELS = { ...words.fields, ...text.connections.uses, is_active: words.isActive };

type Draft = { -readonly [K in keyof ConnectionUpdate]?: ConnectionUpdate[K] };

const NEW: Draft = { connection_type: "local", is_active: true, use_in_livekit: true, use_in_mcp: true, use_in_automation: true, visibility: "private" };

export function ConnectionEditor({ of, onClose }: { of?: Connection; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const toasts = useToasts();
  const { begun, draft, mine, theirs, setTheirs, merge, value, set } = useDraft<Partial<Connection>, Draft>(of ?? {}, of ? {} : NEW);
  const type = value("connection_type") ?? "local";
  const whole = (): ConnectionCreate => ({ ...draft, name: value("name") || words.types[type].split(" ")[0]?.toLowerCase() || type, base_url: value("base_url") || ADDRESSES[type] || "" }) as ConnectionCreate;

  const test = useMutation({ mutationFn: () => ask(api.POST("/api/connections/test", { body: whole() })) });
  const save = useMutation({
    mutationFn: () => {
      if (!of) return ask(api.POST("/api/connections", { body: whole() }));
      const body = { ...mine, version: begun.version ?? null };
      return ask(api.PATCH("/api/connections/{connection_id}", { params: { path: { connection_id: of.id } }, body }));
    },
    onSuccess: (stored) => {
      toasts.say(of ? text.connections.saved(stored.name) : text.connections.created(stored.name));
      queries.setQueryData(connectionQueryOptions(stored.id).queryKey, stored);
      onClose();
      if (!of) void navigate({ to: "/connections/$id", params: { id: stored.id } });
    },
    onError: async (error) => {
      if (of && isStale(error)) setTheirs(await queries.fetchQuery({ ...connectionQueryOptions(of.id), staleTime: 0 }));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  if (theirs && of) {
    return (
      <Merge
        title={words.edit(of.name)}
        labels={LABELS}
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
  const faults = save.error instanceof Problem ? save.error.fields : {};
  const input = (name: FieldName) => (
    <TextField key={name} name={name} value={value(name)} known={of} error={faults[name]} models={name === "model_name" ? test.data?.models : undefined} onChange={(given) => set({ [name]: given })} />
  );
  return (
    <Dialog title={of ? words.edit(of.name) : words.add} onClose={onClose} wide>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Field label={words.type}>
          {(ids) => (
            <select {...ids} value={type} onChange={(event) => set({ connection_type: event.target.value as Connection["connection_type"] })}>
              {Object.entries(words.types).map(([name, title]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
        {neededFields(type).map(input)}
        <fieldset>
          <legend>{words.uses}</legend>
          {(Object.keys(text.connections.uses) as (keyof typeof text.connections.uses)[]).map((use) => (
            <Check key={use} label={text.connections.uses[use]} isOn={value(use) ?? false} onChange={(isOn) => set({ [use]: isOn })} />
          ))}
          <Check label={words.isActive} isOn={value("is_active") ?? false} onChange={(isOn) => set({ is_active: isOn })} />
        </fieldset>
        <details>
          <summary>{words.more}</summary>
          <Field label={words.fields.visibility} error={faults.visibility}>
            {(ids) => (
              <select {...ids} value={value("visibility")} onChange={(event) => set({ visibility: event.target.value as Connection["visibility"] })}>
                {Object.entries(words.visibilities).map(([name, title]) => (
                  <option key={name} value={name}>
                    {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {optionalFields().map(input)}
        </details>
        {test.isPending && <p role="status">{words.testing}</p>}
        {test.data && <TestReport result={test.data} />}
        {test.isError && <Trouble error={test.error} />}
        {save.isError && <Trouble error={save.error} />}
        <footer>
          {!of && (
            <Button disabled={test.isPending} onClick={() => test.mutate()}>
              {words.test}
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

function Check({ label, isOn, onChange }: { label: string; isOn: boolean; onChange: (isOn: boolean) => void }) {
  return (
    <label className="check">
      <input type="checkbox" checked={isOn} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  );
}

interface TextFieldProps {
  name: FieldName;
  value: unknown;
  known: Connection | undefined;
  error: string | undefined;
  models: readonly string[] | undefined;
  onChange: (value: string | number | string[] | null) => void;
}

function TextField({ name, value, known, error, models, onChange }: TextFieldProps) {
  const hints: Partial<Record<FieldName, string>> = { ...words.hints, ...(known?.api_key_set ? { api_key: words.hints.keyIsSet(known.api_key_last4 ?? "") } : {}) };
  const isNumber = NUMBERS.has(name);
  const hint = models?.length ? words.models(models.length) : hints[name];
  const given = (typed: string) => {
    if (name === "tags") return typed.split(",").map((tag) => tag.trimStart());
    if (isNumber) return typed === "" ? null : Number(typed);
    return typed;
  };
  return (
    <Field label={words.fields[name]} hint={hint} error={error}>
      {(ids) => (
        <>
          <input
            {...ids}
            name={name}
            type={name === "api_key" ? "password" : isNumber ? "number" : "text"}
            step="any"
            autoComplete="off"
            maxLength={2_000}
            list={models?.length ? `${ids.id}-models` : undefined}
            value={Array.isArray(value) ? value.join(", ") : ((value ?? "") as string | number)}
            onChange={(event) => onChange(given(event.target.value))}
          />
          {models && (
            <datalist id={`${ids.id}-models`}>
              {models.map((model) => (
                <option key={model} value={model} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}
