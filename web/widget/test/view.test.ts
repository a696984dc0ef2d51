// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";

import { replyNote } from "../src/operator";
import { addLine, addSegment, addTyped, markSent, type Speaker } from "../src/transcript";
import { type Actions, View } from "../src/view";
import { ending, trouble } from "../src/words";

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
    hold: (down) => pressed.push(`hold ${down}`),
    leaveMessage: (text, contact) => pressed.push(`message ${text}, ${contact}`),
    hangUp: () => pressed.push("hang up"),
    restart: () => pressed.push("restart"),
    rate: (stars, comment) => pressed.push(`rate ${stars} ${comment}`),
    openRating: () => pressed.push("open rating"),
    download: () => pressed.push("download"),
    forget: () => pressed.push("forget"),
    act: ({ kind }) => pressed.push(`act ${kind}`),
    choose: ({ microphone, hold, captions }) => pressed.push(`choose ${hold} ${captions}${microphone && ` of ${microphone}`}`),
    openChoices: () => pressed.push("open choices"),
    onGesture: () => undefined,
  };
  view = new View(root, actions, { note: replyNote });
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
  expect(one(".pb-note").textContent).toBe("waiting for the assistant");
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
  view.notice(ending("hung-up-by-agent"));
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

test("a caller who waits learns their place, and may leave a message instead", () => {
  const wait = { place: 2, takesMessages: true };
  const form = one(".pb-leave");
  const text = one("#leave-text") as HTMLTextAreaElement;
  const contact = one("#leave-contact") as HTMLInputElement;
  const submit = () => form.dispatchEvent(new Event("submit", { cancelable: true }));
  expect(one(".pb-queue").hidden).toBe(true);
  view.waits(wait);
  expect(one("#place").textContent).toBe("All lines are busy. You are number 2 in the queue.");
  expect(form.hidden).toBe(true);
  one("#leave-open").click();
  expect([form.hidden, document.activeElement]).toEqual([false, text]);
  text.value = "Do you open on Saturday? ";
  submit();
  contact.value = "555 0100";
  submit();
  expect(pressed).toEqual(["message Do you open on Saturday?, 555 0100"]);
  view.waits({ ...wait, place: 1 });
  expect(one("#place").textContent).toBe("All lines are busy. You are next.");
  expect([form.hidden, text.value]).toEqual([false, "Do you open on Saturday? "]);
  view.waits(null);
  expect([one(".pb-queue").hidden, text.value, contact.value]).toEqual([true, "", ""]);
});

test("a caller who waits may ask to be called back, and may change their mind", () => {
  view.waits({ place: 3, takesMessages: true });
  one("#call-back-open").click();
  const form = one(".pb-call-back");
  one(".pb-call-back .pb-keep").click();
  expect([form.hidden, one(".pb-instead").hidden]).toEqual([true, false]);
  one("#call-back-open").click();
  (one("#call-back-number") as HTMLInputElement).value = "+49 30 1234";
  form.dispatchEvent(new Event("submit", { cancelable: true }));
  expect(pressed).toEqual(["message Please call me back., +49 30 1234"]);
});

test("where no message is taken, none is offered", () => {
  view.waits({ place: 2, takesMessages: false });
  expect(one(".pb-instead").hidden).toBe(true);
});

test("a rating needs stars, and takes a comment", () => {
  view.rating(true);
  const form = one(".pb-rating");
  const submit = () => form.dispatchEvent(new Event("submit", { cancelable: true }));
  submit();
  expect(one(".pb-comment").hidden).toBe(true);
  const four = root.querySelector<HTMLInputElement>("input[name=stars][value='4']");
  four?.click();
  four?.dispatchEvent(new Event("change", { bubbles: true }));
  expect(one(".pb-comment").hidden).toBe(false);
  expect(root.querySelectorAll(".pb-star[data-lit=true]")).toHaveLength(4);
  (one("#comment") as HTMLTextAreaElement).value = "Quick.";
  submit();
  expect(pressed).toEqual(["rate 4 Quick."]);
  view.rating(false);
  expect([form.hidden, root.querySelectorAll(".pb-star[data-lit=true]").length]).toEqual([true, 0]);
});

test("before a visitor agrees, nothing else can be reached; then all of it can", () => {
  const answers: boolean[] = [];
  view.consent("We store calls. https://shop.example/privacy", (agreed) => answers.push(agreed));
  expect(one(".pb-form").hasAttribute("inert")).toBe(true);
  expect(one("#consent-text a").getAttribute("href")).toBe("https://shop.example/privacy");
  one("#decline").click();
  expect(one(".pb-form").hasAttribute("inert")).toBe(true);
  one("#agree").click();
  expect([one(".pb-form").hasAttribute("inert"), one(".pb-consent").hidden]).toEqual([false, true]);
  expect(answers).toEqual([false, true]);
});

test("a notice that something can be done about has a button for it", () => {
  expect(one("#act").hidden).toBe(true);
  view.notice(trouble("sound-blocked"));
  expect([one("#act").hidden, one("#act").textContent]).toEqual([false, "Play the voice"]);
  one("#act").click();
  view.notice(trouble("microphone-lost"));
  one("#act").click();
  expect(pressed).toEqual(["act sound-blocked", "act microphone-lost"]);
  view.notice(trouble("connection-lost"));
  expect(one("#act").hidden).toBe(true);
});

test("the status line is in place before it has words, as screen readers need", () => {
  const status = one("[role=status]");
  expect(status.closest("[hidden]")).toBeNull();
  view.notice(trouble("agent-absent"));
  expect(one("[role=status]")).toBe(status);
  expect(status.textContent).toContain("did not pick up");
});

test("Enter that ends a composition does not send", () => {
  const press = (more: KeyboardEventInit) => {
    const event = new KeyboardEvent("keydown", { key: "Enter", cancelable: true, ...more });
    one("#text").dispatchEvent(event);
    return event.defaultPrevented;
  };
  expect([press({ isComposing: true }), press({ keyCode: 229 }), press({})]).toEqual([true, true, false]);
});

test("the talk button is held where the visitor has chosen so: by pointer, by key, and by clicks of a screen reader", () => {
  view.choices({ microphone: "", hold: true, captions: false });
  const talk = one("#talk");
  expect(one("#talk-caption").textContent).toBe("Hold to talk");
  const event = (name: string, more = {}) => talk.dispatchEvent(Object.assign(new Event(name, { cancelable: true }), more));
  event("pointerdown", { button: 0 });
  event("pointerup");
  event("keydown", { key: " " });
  event("keydown", { key: " " });
  event("keyup", { key: " " });
  event("click", { detail: 0 });
  event("click", { detail: 0 });
  expect(pressed).toEqual([true, false, true, false, true, false].map((down) => `hold ${down}`));
});

test("captions show the end of what is being spoken", () => {
  view.transcript(addSegment([], segment("a", "agent", "We open", false)));
  expect(one(".pb-captions").textContent).toBe("We open");
  view.transcript(addSegment([], segment("a", "agent", `${"x".repeat(200)} end`, false)));
  expect(one(".pb-captions").textContent).toMatch(/^…x{116} end$/);
});

test("a message that is being sent is not sent twice", () => {
  const send = one("[data-testid=leave-send]") as HTMLButtonElement;
  view.messageSending(true);
  expect(send.disabled).toBe(true);
  view.messageSending(false);
  expect(send.disabled).toBe(false);
});

test("a choice of something else leaves the microphone that was chosen, where the list does not have it yet", () => {
  view.choices({ microphone: "desk", hold: false, captions: false });
  view.microphones([]);
  const change = (selector: string) => one(selector).dispatchEvent(new Event("change", { bubbles: true }));
  (one("#captions") as HTMLInputElement).checked = true;
  change("#captions");
  change("#microphone");
  expect(pressed).toEqual(["choose false true of desk", "choose false true"]);
});

test("messages that come back stand in their order before what was typed since", () => {
  const field = one("#text") as HTMLInputElement;
  view.giveBack("Two cups");
  view.giveBack("and a pot");
  field.value += " in blu";
  view.giveBack("please");
  expect(field.value).toBe("Two cups and a pot please in blu");
  view.clearText();
  view.giveBack("Milk");
  expect(field.value).toBe("Milk");
});
