/** A message of a chat: its words, what can be done with it, and how a reply came about. */

import { useState } from "react";

import { text } from "../text";
import { Badge, Button, Field } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { Receipt } from "./receipt";
import type { Ask } from "./side";
import { beside, type ChatMessage, type Past } from "./types";

const words = text.chat;

interface MessageProps {
  of: ChatMessage;
  isBusy: boolean;
  onEdit: Ask;
  onAgain: () => void;
  onBranch: (() => void) | undefined;
  onChoose: (number: number) => void;
}

export function Message({ of, isBusy, onEdit, onAgain, onBranch, onChoose }: MessageProps) {
  const [isEditing, setEditing] = useState(false);
  const toasts = useToasts();
  const isReply = of.role === "assistant";
  const isRunning = of.status === "running";
  return (
    <li className={of.role} data-number={of.number}>
      <strong>{words.roles[of.role]}</strong> {isRunning && <Badge tone="warn">{words.writing}</Badge>}
      {isEditing ? (
        <Edit
          begun={of.content}
          isBusy={isBusy}
          onClose={() => setEditing(false)}
          onSend={(content) => onEdit(content, () => setEditing(false))}
        />
      ) : (
        <p>{of.content}</p>
      )}
      {of.status === "broken_off" && <p className="trouble">{words.brokenOff(of.problem)}</p>}
      {isReply && of.route && <Receipt of={of.route} />}
      {!isEditing && (
        <div className="acts">
          <Versions of={of} onChoose={onChoose} />
          {!isReply && (
            <Button kind="link" disabled={isBusy} onClick={() => setEditing(true)}>
              {words.edit}
            </Button>
          )}
          {isReply && !isRunning && (
            <>
              {of.parent > 0 && (
                <Button kind="link" disabled={isBusy} onClick={onAgain}>
                  {words.again}
                </Button>
              )}
              {onBranch && (
                <Button kind="link" onClick={onBranch}>
                  {words.branch}
                </Button>
              )}
              <Button kind="link" onClick={() => void navigator.clipboard.writeText(of.content).then(() => toasts.say(words.copied), toasts.fail)}>
                {words.copy}
              </Button>
            </>
          )}
        </div>
      )}
    </li>
  );
}

/** Words that were said in a call, before the chat begins. */
export function PastMessage({ of }: { of: Past }) {
  return (
    <li className={of.role}>
      <strong>{text.call.roles[of.role]}</strong> <small>{words.roles.past}</small>
      <p>{of.content}</p>
    </li>
  );
}

function Versions({ of, onChoose }: { of: ChatMessage; onChoose: (number: number) => void }) {
  const { at, previous, next } = beside(of);
  if (of.siblings.length < 2) return null;
  return (
    <span className="versions">
      <Button kind="link" aria-label={words.previous} disabled={previous === undefined} onClick={() => previous !== undefined && onChoose(previous)}>
        ‹
      </Button>
      {words.version(at, of.siblings.length)}
      <Button kind="link" aria-label={words.next} disabled={next === undefined} onClick={() => next !== undefined && onChoose(next)}>
        ›
      </Button>
    </span>
  );
}

function Edit({ begun, isBusy, onSend, onClose }: { begun: string; isBusy: boolean; onSend: (content: string) => void; onClose: () => void }) {
  const [typed, setTyped] = useState(begun);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onSend(typed);
      }}
    >
      <Field label={words.edit}>{(ids) => <textarea {...ids} rows={4} required maxLength={100_000} autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} />}</Field>
      <div className="inline">
        <Button type="submit" disabled={isBusy}>
          {words.resend}
        </Button>
        <Button kind="link" onClick={onClose}>
          {text.cancel}
        </Button>
      </div>
    </form>
  );
}
