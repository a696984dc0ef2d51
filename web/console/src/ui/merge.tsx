/** Two people have changed the same record: each field is chosen, and nothing is lost. */

import { useState } from "react";

import { text } from "../text";
import { conflicts, shown, type Conflict } from "../values";
import { Button, Dialog } from "./kit";

const words = text.merge;
/** A text of so many characters or lines may also be stored as both have it, one below the other. */
const LONG = 60;

type Choice = "mine" | "theirs" | "both";

interface MergeProps<D extends object> {
  title: string;
  /** The names of the fields, for people. */
  labels: Readonly<Record<string, string>>;
  begun: object;
  theirs: object;
  mine: D;
  onClose: () => void;
  /** Called with the fields to change on top of theirs. */
  onChosen: (merged: D) => void;
}

export function Merge<D extends object>({ title, labels, begun, theirs, mine, onClose, onChosen }: MergeProps<D>) {
  const disputed = conflicts(mine, begun, theirs);
  const [chosen, setChosen] = useState<Readonly<Record<string, Choice>>>({});
  return (
    <Dialog title={title} onClose={onClose} wide>
      <p>{words.text}</p>
      {disputed.map((conflict) => (
        <Disputed key={conflict.field} of={conflict} label={labels[conflict.field] ?? conflict.field} value={chosen[conflict.field] ?? "mine"} onChange={(choice) => setChosen({ ...chosen, [conflict.field]: choice })} />
      ))}
      <footer>
        <Button onClick={onClose}>{text.cancel}</Button>
        <Button kind="main" onClick={() => onChosen(merged(mine, disputed, chosen))}>
          {words.save}
        </Button>
      </footer>
    </Dialog>
  );
}

function Disputed({ of, label, value, onChange }: { of: Conflict; label: string; value: Choice; onChange: (choice: Choice) => void }) {
  const options: [Choice, string][] = [
    ["mine", `${words.mine}: ${shown(of.mine)}`],
    ["theirs", `${words.theirs}: ${shown(of.theirs)}`],
  ];
  if (isLong(of)) options.push(["both", words.both]);
  return (
    <fieldset>
      <legend>{label}</legend>
      {options.map(([choice, title]) => (
        <label key={choice} className="check">
          <input type="radio" name={of.field} checked={value === choice} onChange={() => onChange(choice)} />
          <span>{title}</span>
        </label>
      ))}
    </fieldset>
  );
}

const isLong = ({ mine, theirs }: Conflict) => typeof mine === "string" && typeof theirs === "string" && (mine + theirs).length > LONG;

/** Returns what to change on top of theirs. */
function merged<D extends object>(mine: D, disputed: readonly Conflict[], chosen: Readonly<Record<string, Choice>>): D {
  const result: Record<string, unknown> = Object.fromEntries(Object.entries(mine));
  for (const { field, theirs } of disputed) {
    if (chosen[field] === "theirs") delete result[field];
    if (chosen[field] === "both") result[field] = `${String(theirs)}\n\n${String(result[field])}`;
  }
  return result as D;
}
