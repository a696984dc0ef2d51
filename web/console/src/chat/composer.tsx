/** What is typed next. It stays until it is stored: a refusal, or a session that ends, loses no text. */

import { useState } from "react";

import { text } from "../text";
import { Button, Field } from "../ui/kit";
import type { Ask } from "./side";

const words = text.chat.composer;
const LONGEST = 100_000;

interface ComposerProps {
  isBusy: boolean;
  after: number | undefined;
  onAfter: (after: undefined) => void;
  /** Whether there is a question already that can be answered as it is. */
  mayAnswer: boolean;
  onSend: Ask;
  onBoth: Ask | undefined;
  onStop: (() => void) | undefined;
}

export function Composer({ isBusy, after, onAfter, mayAnswer, onSend, onBoth, onStop }: ComposerProps) {
  const [typed, setTyped] = useState("");
  const isReady = !isBusy && (typed.trim() !== "" || mayAnswer);
  const send = (ask: Ask) => isReady && ask(typed.trim() ? typed : "", () => setTyped((now) => (now === typed ? "" : now)));
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send(onSend);
      }}
    >
      {after !== undefined && (
        <p className="hint">
          {words.after(after)}{" "}
          <Button kind="link" onClick={() => onAfter(undefined)}>
            {text.cancel}
          </Button>
        </p>
      )}
      <Field label={words.label} hint={words.hint}>
        {(ids) => (
          <textarea
            {...ids}
            rows={3}
            maxLength={LONGEST}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
              event.preventDefault();
              send(onSend);
            }}
          />
        )}
      </Field>
      <div className="inline">
        <Button kind="main" type="submit" disabled={!isReady}>
          {typed.trim() || !mayAnswer ? words.send : words.answer}
        </Button>
        {onBoth && (
          <Button disabled={!isReady} onClick={() => send(onBoth)}>
            {words.sendBoth}
          </Button>
        )}
        {onStop && <Button onClick={onStop}>{words.stop}</Button>}
      </div>
    </form>
  );
}
