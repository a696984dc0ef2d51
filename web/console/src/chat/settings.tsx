/** Whom a chat asks, and with which parameters. */

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { api, ask } from "../api/client";
import { text } from "../text";
import { Field } from "../ui/kit";
import { withParameter, type Settings } from "./types";

const words = text.chat.settings;
const NUMBERS = { temperature: 0.1, top_p: 0.05, max_tokens: 1, seed: 1 } as const;
type NumberName = keyof typeof NUMBERS;

interface ChatSettingsProps {
  settings: Settings;
  onChange: (changed: Partial<Settings>) => void;
}

export function ChatSettings({ settings, onChange }: ChatSettingsProps) {
  const { parameters } = settings;
  return (
    <div className="settings">
      <ModelChoice value={settings.model} onChange={(model) => onChange({ model })} />
      <details>
        <summary>{words.title}</summary>
        <p className="hint">{words.hint}</p>
        <Field label={words.name}>{(ids) => <input {...ids} maxLength={200} value={settings.title} onChange={(event) => onChange({ title: event.target.value })} />}</Field>
        <Field label={words.system}>
          {(ids) => <textarea {...ids} rows={4} maxLength={100_000} value={settings.system_prompt} onChange={(event) => onChange({ system_prompt: event.target.value })} />}
        </Field>
        <div className="grid">
          {(Object.keys(NUMBERS) as NumberName[]).map((name) => (
            <Field key={name} label={words[name]}>
              {(ids) => (
                <input
                  {...ids}
                  type="number"
                  step={NUMBERS[name]}
                  value={parameters[name] ?? ""}
                  onChange={(event) => onChange({ parameters: withParameter(parameters, name, event.target.value === "" ? null : Number(event.target.value)) })}
                />
              )}
            </Field>
          ))}
        </div>
        <Field label={words.stop}>
          {(ids) => (
            <textarea
              {...ids}
              rows={2}
              value={(parameters.stop ?? []).join("\n")}
              onChange={(event) => onChange({ parameters: withParameter(parameters, "stop", event.target.value ? event.target.value.split("\n") : null) })}
            />
          )}
        </Field>
      </details>
    </div>
  );
}

const KINDS = ["connection", "pool", "model"] as const;
/** Names of a kind that are offered at once; others are found by a part of their name. */
const MOST = 100;

function ModelChoice({ value, onChange }: { value: string; onChange: (model: string) => void }) {
  const models = useQuery({ queryKey: ["models"], queryFn: () => ask(api.GET("/api/models")), staleTime: 10_000 });
  const [part, setPart] = useState("");
  const all = useMemo(() => models.data?.data ?? [], [models.data]);
  const offered = useMemo(
    () =>
      KINDS.map((kind) => {
        const found = all.filter(({ id, owned_by }) => owned_by === `patchbay:${kind}` && id.toLowerCase().includes(part.toLowerCase()));
        return { kind, found, names: found.slice(0, MOST).map(({ id }) => id) };
      }),
    [all, part],
  );
  const isOffered = value === "auto" || offered.some(({ names }) => names.includes(value));
  return (
    <>
      {all.length > MOST && (
        <Field label={words.find} hint={words.found(offered.reduce((sum, { found }) => sum + found.length, 0))}>
          {(ids) => <input {...ids} type="search" maxLength={200} value={part} onChange={(event) => setPart(event.target.value)} />}
        </Field>
      )}
      <Field label={words.model} error={models.error?.message}>
        {(ids) => (
          <select {...ids} value={value} onChange={(event) => onChange(event.target.value)}>
            <option value="auto">{words.auto}</option>
            {!isOffered && <option value={value}>{value}</option>}
            {offered
              .filter(({ names }) => names.length > 0)
              .map(({ kind, names }) => (
                <optgroup key={kind} label={words.kinds[kind]}>
                  {names.map((id) => (
                    <option key={id} value={id}>
                      {id}
                    </option>
                  ))}
                </optgroup>
              ))}
          </select>
        )}
      </Field>
    </>
  );
}
