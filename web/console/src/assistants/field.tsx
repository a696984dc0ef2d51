/** One field of an assistant's form. */

import { useState } from "react";

import { text } from "../text";
import { Choice, Field } from "../ui/kit";
import { isSame } from "../values";
import { read, written, type FieldName, type Kind } from "./fields";

const words = text.assistants;
const HINTS: Partial<Record<FieldName, string>> = words.hints;
const CHOICES: Partial<Record<FieldName, Record<string, string>>> = words.choices;
const LONGEST = 100_000;

interface AssistantFieldProps {
  name: FieldName;
  kind: Kind;
  value: unknown;
  error: string | undefined;
  onChange: (value: unknown) => void;
}

export function AssistantField({ name, kind, value, error, onChange }: AssistantFieldProps) {
  const label = words.fields[name];
  if (kind === "switch") {
    const chosen = value === null || value === undefined ? undefined : value ? "yes" : "no";
    return <Choice label={label} value={chosen} options={words.choices.switch} usual={words.usual} onChange={(given) => onChange(given === undefined ? null : given === "yes")} />;
  }
  if (kind === "choice") {
    if (name === "visibility") return <Visibility value={String(value)} onChange={onChange} />;
    return <Choice label={label} value={(value ?? undefined) as string | undefined} options={CHOICES[name] ?? {}} usual={words.usual} onChange={(given) => onChange(given ?? null)} />;
  }
  if (kind.startsWith("own")) return <OwnField {...{ name, kind, value, error, onChange }} />;
  return <Typed {...{ name, kind, value, error, onChange }} />;
}

function Visibility({ value, onChange }: { value: string; onChange: (value: unknown) => void }) {
  return (
    <Field label={words.fields.visibility}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(event.target.value)}>
          {Object.entries(words.choices.visibility).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A field that is the setting's own, or a text here, also an empty one. */
function OwnField(props: AssistantFieldProps) {
  const { name, kind, value, onChange } = props;
  const isUnset = value === null || value === undefined;
  return (
    <div className="own">
      <label className="check">
        <input type="checkbox" checked={isUnset} onChange={(event) => onChange(event.target.checked ? null : kind === "own list" ? [] : "")} />
        {words.fields[name]}: {words.usual.toLowerCase()}
      </label>
      {!isUnset && <Typed {...props} />}
    </div>
  );
}

function Typed({ name, kind, value, error, onChange }: AssistantFieldProps) {
  // What is typed is shown as it was typed, until the value is changed from elsewhere.
  const [typed, setTyped] = useState(() => written(kind, value));
  const [given, setGiven] = useState(value);
  if (!isSame(given, value)) {
    setGiven(value);
    setTyped(written(kind, value));
  }
  const isReadable = read(kind, name, typed) !== undefined;
  const change = (now: string) => {
    setTyped(now);
    const after = read(kind, name, now);
    if (after === undefined) return;
    setGiven(after);
    onChange(after);
  };
  const isArea = kind === "area" || kind === "own area" || kind === "map" || kind === "json";
  return (
    <Field label={words.fields[name]} hint={HINTS[name]} error={error ?? (isReadable ? undefined : words.hints.json)}>
      {(ids) =>
        isArea ? (
          <textarea {...ids} name={name} rows={name === "instructions" ? 14 : 3} maxLength={LONGEST} value={typed} onChange={(event) => change(event.target.value)} />
        ) : (
          <input {...ids} name={name} type={kind === "number" ? "number" : "text"} step="any" autoComplete="off" maxLength={2_000} value={typed} placeholder={read(kind, name, "") === null ? words.usual : undefined} onChange={(event) => change(event.target.value)} />
        )
      }
    </Field>
  );
}
