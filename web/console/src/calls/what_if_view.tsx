/** Asks what would have happened in a turn with another setting, and shows the estimate. */

import { useState } from "react";

import { seconds } from "../format";
import { text } from "../text";
import { Choice, Field } from "../ui/kit";
import type { Turn } from "./timeline";
import { estimate, racers, settingOf, type Estimate } from "./what_if";

const words = text.call.whatIf;
const FILLER_AFTER = 1.2;
const LONGEST = 10;

export function WhatIf({ turn }: { turn: Turn }) {
  const asItWas = settingOf(turn, turn.hadFiller ? turn.waited : FILLER_AFTER);
  const [setting, setSetting] = useState(asItWas);
  const names = racers(turn).map(({ connection }) => connection);
  if (!names.length) return null;
  const set = (changed: Partial<typeof setting>) => setSetting((before) => ({ ...before, ...changed }));
  const found = estimate(turn, setting);
  return (
    <details className="what-if">
      <summary>{words.title}</summary>
      <div className="inline">
        <Choice
          label={words.first}
          value={setting.first === asItWas.first ? undefined : setting.first}
          options={Object.fromEntries(names.slice(1).map((name) => [name, name]))}
          usual={asItWas.first}
          onChange={(first) => set({ first: first ?? asItWas.first })}
        />
        <Delay label={words.hedge} value={setting.hedgeAfter} usual={0.25} onChange={(hedgeAfter) => set({ hedgeAfter })} />
        <Delay label={words.filler} value={setting.fillerAfter} usual={FILLER_AFTER} onChange={(fillerAfter) => set({ fillerAfter })} />
      </div>
      <p role="status">
        <strong>{written(found)}</strong> {words.instead(seconds(turn.waited))}
      </p>
      <p className="hint">{words.note}</p>
    </details>
  );
}

function Delay({ label, value, usual, onChange }: { label: string; value: number | null; usual: number; onChange: (value: number | null) => void }) {
  return (
    <>
      <label className="check">
        <input type="checkbox" checked={value !== null} onChange={(event) => onChange(event.target.checked ? usual : null)} /> {label}
      </label>
      {value !== null && (
        <Field label={words.after(label)}>
          {(ids) => (
            <input
              {...ids}
              type="number"
              min={0}
              max={LONGEST}
              step={0.05}
              value={Math.round(value * 100) / 100}
              onChange={(event) => onChange(Math.min(LONGEST, Math.max(0, event.target.valueAsNumber || 0)))}
            />
          )}
        </Field>
      )}
    </>
  );
}

function written({ from, to, by }: Estimate): string {
  if (by === "unknown") return Number.isFinite(from) ? words.atLeast(seconds(from)) : words.noAnswer;
  const silence = Math.abs(to - from) < 0.001 ? words.about(seconds(to)) : words.between(seconds(from), seconds(to));
  return by === "filler" ? words.withFiller(silence) : silence;
}
