import { text } from "../text";
import { shown } from "../values";

const LABELS: Readonly<Record<string, string>> = text.assistants.fields;

export interface FieldChange {
  field: string;
  before: unknown;
  after: unknown;
}

/** Shows each field that changes, before and after. */
export function Differences({ fields }: { fields: readonly FieldChange[] }) {
  return (
    <dl className="differences">
      {fields.map(({ field, before, after }) => (
        <div key={field}>
          <dt>{LABELS[field] ?? field}</dt>
          <dd>
            <small>{text.assistants.was}</small>
            <del>{shown(before)}</del>
          </dd>
          <dd>
            <small>{text.assistants.becomes}</small>
            <ins>{shown(after)}</ins>
          </dd>
        </div>
      ))}
    </dl>
  );
}
