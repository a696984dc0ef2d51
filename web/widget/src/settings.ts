/** Remembers a visitor's choices in the browser, where the page lets it. */

export interface Choices {
  /** Identifier of the microphone; empty: the usual one. */
  readonly microphone: string;
  /** True if the microphone is on only while the button is held. */
  readonly hold: boolean;
  readonly captions: boolean;
}

const KEY = "patchbay.choices";
const USUAL: Choices = { microphone: "", hold: false, captions: false };

export function readChoices(): Choices {
  const stored: unknown = read(KEY);
  if (typeof stored !== "object" || stored === null) return USUAL;
  const { microphone, hold, captions } = stored as Record<string, unknown>;
  return {
    microphone: typeof microphone === "string" ? microphone : "",
    hold: hold === true,
    captions: captions === true,
  };
}

export function storeChoices(choices: Choices): void {
  write(KEY, choices);
}

/** Returns the microphones; the browser names them once the page may use one. */
export async function findMicrophones(): Promise<readonly MediaDeviceInfo[]> {
  try {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((each) => each.kind === "audioinput");
  } catch {
    return []; // an insecure page has none
  }
}

/** Whether the visitor has agreed to this text on this site. */
export function hasAgreed(site: string, text: string): boolean {
  return read(consentKey(site)) === text;
}

/** Remembers that the visitor has agreed. */
export function storeAgreement(site: string, text: string): void {
  write(consentKey(site), text);
}

/** Returns the token of the visitor's conversation in writing on this site; empty: there is none. */
export function readConversation(site: string): string {
  const stored = read(`patchbay.conversation.${site}`);
  return typeof stored === "string" ? stored : "";
}

export function storeConversation(site: string, token: string): void {
  write(`patchbay.conversation.${site}`, token);
}

function consentKey(site: string): string {
  return `patchbay.consent.${site}`;
}

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null; // no storage in this frame, or not ours
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // It is asked again next time.
  }
}
