/** Talks by voice with an agent that is called for this alone, and shows what is said. */

import { useBlocker } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";

import { addSegment, finalize, type Messages } from "../../../widget/src/transcript";
import { Problem, type Schemas } from "../api/client";
import { text } from "../text";
import { Button } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { mayHangUp, register } from "./going";
import { isLeft } from "./left";
import type { Seat } from "./seat";

const words = text.talk;
type Doing = "nothing" | "joining" | "talking";

interface TalkProps {
  hint: string;
  /** The part of the page's address that names what is talked with, where the path does not. */
  chosenBy?: string;
  /** Calls the agent, which is to know what was said here and is not stored yet. */
  begin: (said: Messages) => Promise<Schemas["SeatRead"]>;
  /** Stores what was said, once the call has ended; until it has, the words stay here. */
  onSaid?: (said: Messages) => Promise<void>;
}

export function Talk({ hint, chosenBy, begin, onSaid }: TalkProps) {
  const toasts = useToasts();
  const seat = useRef<Seat | null>(null);
  /** Number of the call that is wanted; an earlier one that is still being joined is left. */
  const wanted = useRef(0);
  const [isKeeping, setKeeping] = useState(false);
  const [doing, setDoing] = useState<Doing>("nothing");
  const [isAnswered, setAnswered] = useState(false);
  const [isMuted, setMuted] = useState(false);
  const [level, setLevel] = useState(0);
  const said = useRef<Messages>([]);
  const [shown, setShown] = useState<Messages>([]);
  const show = (messages: Messages) => {
    said.current = messages;
    setShown(messages);
  };

  const store = useRef(onSaid);
  useEffect(() => {
    store.current = onSaid;
  });
  async function keep() {
    if (!store.current || !said.current.length) return;
    setKeeping(true);
    try {
      await store.current(said.current);
      show([]);
    } catch (error) {
      toasts.fail(error as Error);
    }
    setKeeping(false);
  }

  // Who goes to another page hangs up.
  useEffect(() => hangUp, []);
  const goesOn = () => seat.current !== null;
  useEffect(() => register(() => seat.current !== null), []);
  useBlocker({
    shouldBlockFn: ({ current, next }) => goesOn() && isLeft(current, next, chosenBy) && !mayHangUp(),
    enableBeforeUnload: goesOn,
  });

  async function call() {
    const number = ++wanted.current;
    const isWanted = () => wanted.current === number;
    setDoing("joining");
    setAnswered(false);
    setMuted(false);
    // What could not be stored yet is stored together with what is said now.
    if (!onSaid) show([]);
    try {
      const { Seat } = await import("./seat");
      if (!isWanted()) return;
      const mine: Seat = new Seat({
        onLevel: setLevel,
        onSound: () => setAnswered(true),
        onSaid: (segment) => seat.current === mine && show(addSegment(said.current, segment)),
        onEnd: () => {
          if (seat.current !== mine) return;
          seat.current = null;
          setDoing("nothing");
          setLevel(0);
          show(finalize(said.current));
          void keep();
        },
      });
      seat.current = mine;
      const way = await begin(said.current);
      if (isWanted()) await mine.join(way, true);
      if (isWanted() && seat.current === mine) setDoing("talking");
      else await mine.leave();
    } catch (error) {
      if (!isWanted()) return;
      seat.current = null;
      setDoing("nothing");
      toasts.fail(hasNoMicrophone(error as Error) ? new Problem(0, { detail: words.noMicrophone }) : (error as Error));
    }
  }

  function hangUp() {
    wanted.current += 1;
    if (seat.current) void seat.current.leave();
    else setDoing("nothing");
  }

  async function mute() {
    try {
      await seat.current?.mute(!isMuted);
      setMuted(!isMuted);
    } catch (error) {
      toasts.fail(error as Error);
    }
  }

  const state = doing === "joining" ? words.joining : !isAnswered ? words.waits : isMuted ? words.muted : words.talking;
  return (
    <div className="talk" role="group" aria-label={words.title}>
      {shown.length > 0 && (
        <ol className="said" aria-live="polite">
          {shown.map(({ id, who, text: spoken }) => (
            <li key={id} className={who === "caller" ? "user" : "assistant"}>
              <strong>{who === "caller" ? words.you : words.agent}</strong>
              <p>{spoken}</p>
            </li>
          ))}
        </ol>
      )}
      <div className="supervise">
        {doing === "nothing" ? (
          <>
            <Button disabled={isKeeping} onClick={() => void call()}>
              {words.on}
            </Button>
            {onSaid && shown.length > 0 && (
              <Button disabled={isKeeping} onClick={() => void keep()}>
                {words.keep}
              </Button>
            )}
          </>
        ) : (
          <>
            <span role="status">{state}</span>
            <meter min={0} max={1} value={level} aria-label={words.level} />
            {doing === "talking" && (
              <Button aria-pressed={isMuted} onClick={() => void mute()}>
                {isMuted ? words.unmute : words.mute}
              </Button>
            )}
            <Button kind="main" onClick={hangUp}>
              {words.off}
            </Button>
          </>
        )}
      </div>
      <p className="hint">{hint}</p>
    </div>
  );
}

/** The browser's words for a microphone that is not there, or not allowed. */
const hasNoMicrophone = ({ name }: Error) => ["NotAllowedError", "NotFoundError"].includes(name);
