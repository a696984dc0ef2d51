"use client";

/** `<Patchbay server="https://HOST" site="site_…" />`: the widget as a React component. */

import type { PatchbayWidget, Phase, SaidMessage } from "@patchbay/widget";
import { createElement, forwardRef, type RefObject, useEffect, useImperativeHandle, useRef } from "react";

export type { PatchbayWidget, Phase, SaidMessage };

export interface PatchbayProps {
  /** The address of the agent's HTTP server. */
  readonly server: string;
  /** The public key of the website. Not needed on pages of the agent's own server. */
  readonly site?: string;
  /** Words for the button and above the conversation. */
  readonly label?: string;
  /** The side of the window at which the button is; `end` unless given. */
  readonly side?: "start" | "end";
  /** Whether the conversation fills its parent's box, without a button. */
  readonly inline?: boolean;
  readonly onOpen?: () => void;
  readonly onClose?: () => void;
  readonly onPhase?: (phase: Phase) => void;
  readonly onMessage?: (message: SaidMessage) => void;
  /** More attributes of the element, such as `lang` or `class`. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Shows the widget once the page runs in a browser; the `ref` is the element, with `open`, `close`, `say` and `setContext`. */
export const Patchbay = forwardRef<PatchbayWidget | null, PatchbayProps>(function Patchbay(props, ref) {
  const { onOpen, onClose, onPhase, onMessage, inline, attributes, ...own } = props;
  const element = useRef<PatchbayWidget>(null);
  useImperativeHandle<PatchbayWidget | null, PatchbayWidget | null>(ref, () => element.current);
  useEffect(() => {
    // A server that renders the page has no elements, and so must not load them.
    void import("@patchbay/widget");
  }, []);
  useListener(element, "patchbay-open", onOpen);
  useListener(element, "patchbay-close", onClose);
  useListener(element, "patchbay-phase", onPhase && ((event) => onPhase(event.detail)));
  useListener(element, "patchbay-message", onMessage && ((event) => onMessage(event.detail)));
  return createElement("patchbay-widget", { ...attributes, ...own, inline: inline ? "" : undefined, ref: element });
});

function useListener<Name extends keyof HTMLElementEventMap>(
  element: RefObject<PatchbayWidget | null>,
  name: Name,
  listener: ((event: HTMLElementEventMap[Name]) => void) | undefined,
): void {
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => {
    const target = element.current;
    const listen = (event: HTMLElementEventMap[Name]) => latest.current?.(event);
    target?.addEventListener(name, listen);
    return () => target?.removeEventListener(name, listen);
  }, [element, name]);
}
