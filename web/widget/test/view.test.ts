// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";

import { addLine, addSegment, addTyped, markSent, type Speaker } from "../src/transcript";
import { type Actions, View } from "../src/view";

const REPLY = { connection: "local", model: "tiny", firstWordMs: 212, firstWordFrom: "local", tookOverFrom: ["openai"], lastResort: false };

let root: HTMLElement;
let view: View;
let pressed: string[];

function one(selector: string): HTMLElement {
  const found = root.querySelectorAll<HTMLElement>(selector);
  expect(found).toHaveLength(1);
  return found[0] as HTMLElement;
}

function segment(id: string, who: Speaker, text: string, final: boolean) {
  return { id, who, text, final };
}

beforeEach(() => {
  pressed = [];
  root = document.createElement("div");
  document.body.replaceChildren(root);
  const actions: Actions = {
    talk: () => pressed.push("talk"),
    say: (text) => pressed.push(`say ${text}`),
    leaveMessage: (text, contact) => pressed.push(`message ${text}, ${contact}`),
    hangUp: () => pressed.push("hang up"),
    restart: () => pressed.push("restart"),
    onGesture: () => undefined,
  };
  view = new View(root, actions);
});

test("a partial is hidden from the screen reader and its final comes as a new element", () => {
  let messages = addSegment([], segment("a", "agent", "We open", false));
  view.transcript(messages);
  const partial = one(".pb-message");
  expect(partial.getAttribute("aria-hidden")).toBe("true");

  messages = addSegment(messages, segment("a", "agent", "We open at nine.", true));
  view.transcript(messages);
  const final = one(".pb-message");
  expect(final).not.toBe(partial);
  expect(final.hasAttribute("aria-hidden")).toBe(false);
  expect(final.textContent).toContain("We open at nine.");
});

test("a note that comes later leaves the message in place, so that it is not announced again", () => {
  const messages = addSegment([], segment("a", "agent", "Fine.", true));
  view.transcript(messages);
  const before = one(".pb-message");
  view.transcript(messages.map((message) => ({ ...message, reply: REPLY })));
  expect(one(".pb-message")).toBe(before);
  expect(one(".pb-note").textContent).toBe("local · first word 212 ms · took over from openai");
  expect(one(".pb-note").getAttribute("aria-live")).toBe("off");
});

test("speech is shown as text, even if it holds markup", () => {
  view.transcript(addSegment([], segment("a", "agent", "<img src=x onerror=alert(1)>", true)));
  expect(root.querySelector("img")).toBeNull();
  expect(one(".pb-text").textContent).toBe("<img src=x onerror=alert(1)>");
});

test("a typed message says that it waits until it is sent", () => {
  const messages = addTyped([], "one", "hello");
  view.transcript(messages);
  expect(one(".pb-note").textContent).toBe("waiting for the agent");
  view.transcript(markSent(messages, "one"));
  expect(one(".pb-note").hidden).toBe(true);
});

test("messages that are gone leave the page", () => {
  view.transcript(addSegment([], segment("a", "caller", "uh", false)));
  view.transcript([]);
  expect(root.querySelector(".pb-message")).toBeNull();
});

test("the talk button shows whether the microphone is on", () => {
  expect(one("#talk").getAttribute("aria-pressed")).toBe("false");
  view.microphone("on");
  expect(one("#talk").getAttribute("aria-pressed")).toBe("true");
});

test("muted looks muted, and nobody is said to listen", () => {
  view.phase("listening");
  view.microphone("on");
  expect(one("#state").textContent).toBe("Listening");
  view.microphone("muted");
  expect(one("#talk").getAttribute("aria-pressed")).toBe("false");
  expect(root.dataset.microphone).toBe("muted");
  expect(one("#state").textContent).toBe("You are muted");
  expect(one("#talk-caption").textContent).toContain("Muted");
});

test("the hint on setting up folds away once a call runs, and can be opened again", () => {
  const hint = one(".pb-hint") as HTMLDetailsElement;
  view.models({ text: "No model is connected.", hint: "Start Ollama." });
  expect([hint.hidden, hint.open]).toEqual([false, true]);
  view.phase("connecting");
  expect([hint.hidden, hint.open]).toEqual([false, false]);
  hint.open = true;
  view.phase("listening");
  expect(hint.open).toBe(true);
  expect(hint.textContent).toContain("Start Ollama.");
});

test("a line of the page's own has no speaker", () => {
  view.transcript(addLine(addSegment([], segment("a", "agent", "Fine.", true)), "line-1", "New call"));
  const line = root.querySelector("[data-who=page]");
  expect(line?.querySelector<HTMLElement>(".pb-who")?.hidden).toBe(true);
  expect(line?.querySelector(".pb-text")?.textContent).toBe("New call");
});

test("when the call ends, the focus moves from the end button to the restart button", () => {
  view.notice({ text: "Gone.", tone: "end" });
  view.phase("listening");
  one("#end").focus();
  view.phase("ended");
  expect(document.activeElement).toBe(one("#restart"));
  view.phase("connecting");
  expect(document.activeElement).toBe(one("#end"));
});

test("presses and typed words are reported, an empty message is not", () => {
  one("#talk").click();
  const submit = () => one(".pb-form").dispatchEvent(new Event("submit", { cancelable: true }));
  submit();
  one("#text").setAttribute("value", "  hello  ");
  submit();
  view.phase("listening");
  one("#end").click();
  expect(pressed).toEqual(["talk", "say hello", "hang up"]);
});

test("a caller who waits may leave a message, and the form forgets it when it closes", () => {
  const form = one(".pb-leave");
  const text = one("#leave-text") as HTMLTextAreaElement;
  const contact = one("#leave-contact") as HTMLInputElement;
  const submit = () => form.dispatchEvent(new Event("submit", { cancelable: true }));
  expect(form.hidden).toBe(true);
  view.messageForm(true);
  expect(form.hidden).toBe(false);
  text.value = "Please call me back. ";
  submit();
  contact.value = "555 0100";
  submit();
  expect(pressed).toEqual(["message Please call me back., 555 0100"]);
  view.messageForm(true);
  expect(text.value).toBe("Please call me back. ");
  view.messageForm(false);
  expect([form.hidden, text.value, contact.value]).toEqual([true, "", ""]);
});

test("a message that is being sent is not sent twice", () => {
  const send = one(".pb-leave button") as HTMLButtonElement;
  view.messageSending(true);
  expect(send.disabled).toBe(true);
  view.messageSending(false);
  expect(send.disabled).toBe(false);
});
