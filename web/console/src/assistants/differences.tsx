import { text } from "../text";
import { shown } from "../values";

export interface FieldChange {
  field: string;
  before: unknown;
  after: unknown;
}

/** Shows each field that changes, before and after. */
export function Differences({ fields, labels = text.assistants.fields }: { fields: readonly FieldChange[]; labels?: Readonly<Record<string, string>> }) {
  return (
    <dl className="differences">
      {fields.map(({ field, before, after }) => (
        <div key={field}>
          <dt>{labels[field] ?? field}</dt>
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
