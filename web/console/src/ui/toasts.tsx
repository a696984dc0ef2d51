/** Short notices at the edge of the page, with an undo where there is one. */

import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from "react";

import { text } from "../text";
import { Button, describe } from "./kit";

interface Toast {
  id: number;
  message: string;
  isError: boolean;
  undo: (() => void) | undefined;
}

interface Toasts {
  say: (message: string, undo?: () => void) => void;
  fail: (error: Error) => void;
}

const Context = createContext<Toasts>({ say: () => undefined, fail: () => undefined });
const SHOWN_FOR = 8_000;
const MOST = 4;

export const useToasts = () => useContext(Context);

export function ToastArea({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<Toast[]>([]);
  const next = useRef(0);
  const drop = useCallback((id: number) => setShown((all) => all.filter((one) => one.id !== id)), []);
  const add = useCallback(
    (message: string, isError: boolean, undo: (() => void) | undefined) => {
      const id = next.current++;
      setShown((all) => [...all, { id, message, isError, undo }].slice(-MOST));
      setTimeout(() => drop(id), SHOWN_FOR);
    },
    [drop],
  );
  const toasts = useMemo<Toasts>(
    () => ({ say: (message, undo) => add(message, false, undo), fail: (error) => add(describe(error), true, undefined) }),
    [add],
  );
  return (
    <Context value={toasts}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {shown.map((toast) => (
          <div key={toast.id} className={toast.isError ? "toast bad" : "toast"}>
            <span>{toast.message}</span>
            {toast.undo && (
              <Button
                kind="link"
                onClick={() => {
                  drop(toast.id);
                  toast.undo?.();
                }}
              >
                {text.undo}
              </Button>
            )}
          </div>
        ))}
      </div>
    </Context>
  );
}
