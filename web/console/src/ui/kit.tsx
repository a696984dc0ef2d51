/** The parts that pages are made of. Each is the browser's own element where there is one. */

import { useEffect, useId, useRef, type ComponentProps, type ReactNode } from "react";

import { Problem } from "../api/client";
import { text } from "../text";

type Tone = "good" | "bad" | "warn" | "plain";

export function Button({ kind = "plain", ...props }: ComponentProps<"button"> & { kind?: "plain" | "main" | "danger" | "link" }) {
  return <button type="button" {...props} className={`button ${kind}`} />;
}

export function Badge({ tone = "plain", children, title }: { tone?: Tone; children: ReactNode; title?: string | undefined }) {
  return (
    <span className={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

export function Field({ label, hint, error, children }: { label: string; hint?: string | undefined; error?: string | undefined; children: (ids: FieldIds) => ReactNode }) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className={error ? "field wrong" : "field"}>
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": note ? `${id}-note` : undefined, "aria-invalid": error ? true : undefined })}
      {note && (
        <small id={`${id}-note`} role={error ? "alert" : undefined}>
          {note}
        </small>
      )}
    </div>
  );
}

export interface FieldIds {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

/** A window over the page. Escape calls `onClose`, but for one that must be answered (`fixed`). */
export function Dialog({ title, onClose, fixed, wide, children }: { title: string; onClose?: () => void; fixed?: boolean; wide?: boolean; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={box}
      className={wide ? "wide" : undefined}
      aria-labelledby={heading}
      onCancel={(event) => {
        // A choice of files within it that is broken off says so here, too.
        if (event.target !== event.currentTarget) return;
        event.preventDefault();
        if (!fixed) onClose?.();
      }}
      // Browsers close it all the same on a second Escape, or on one before the first click.
      onClose={() => fixed && !box.current?.open && box.current?.showModal()}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        {!fixed && (
          <button type="button" className="close" aria-label={text.close} onClick={onClose}>
            ×
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

export function Empty({ title, children }: { title?: string; children: ReactNode }) {
  return (
    <div className="empty">
      {title && <h2>{title}</h2>}
      {children}
    </div>
  );
}

/** Says what went wrong, and offers to try again. */
export function Trouble({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  return (
    <div className="trouble" role="alert">
      <p>{describe(error)}</p>
      {onRetry && <Button onClick={onRetry}>{text.retry}</Button>}
    </div>
  );
}

/** Says which stored rows a list leaves out, and why. */
export function Unreadable({ reasons = {} }: { reasons?: Record<string, string> | undefined }) {
  const all = Object.values(reasons);
  if (!all.length) return null;
  return (
    <div className="trouble" role="alert">
      <p>{text.unreadable(all.length)}</p>
      {all.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}

/** The sentence that a person reads of an error. */
export function describe(error: Error): string {
  return error instanceof Problem ? error.message : `${text.error.title}: ${error.message}`;
}

export function Card({ label, value, hint }: { label: string; value: ReactNode; hint?: string }) {
  return (
    <div className="card" title={hint}>
      <span>{label}</span>
      <strong>{value}</strong>
    </div>
  );
}

/** The first row of a table, with the titles of its columns. */
export function Columns({ titles }: { titles: readonly ReactNode[] }) {
  return (
    <thead>
      <tr>
        {titles.map((title, index) => (
          <th key={index} scope="col">
            {title}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** A short table that scrolls sideways where the page is narrow. */
export function WideTable({ label, columns, children }: { label: string; columns: readonly ReactNode[]; children: ReactNode }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <Columns titles={columns} />
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T | undefined;
  options: Record<string, string>;
  /** The text of no choice. */
  usual?: string;
  onChange: (value: T | undefined) => void;
}

export function Choice<T extends string>({ label, value, options, usual = text.all, onChange }: ChoiceProps<T>) {
  return (
    <label className="choice">
      <span>{label}</span>
      <select value={value ?? ""} onChange={(event) => onChange((event.target.value || undefined) as T | undefined)}>
        <option value="">{usual}</option>
        {Object.entries(options).map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}
