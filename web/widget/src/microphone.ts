/** Carries the caller's microphone through a call: on, muted, held, lost and taken again. */

import { ConnectionState, type LocalTrack, type Room, RoomEvent, TrackEvent } from "livekit-client";

import { microphoneTrouble } from "./endings";
import { type Microphone, type Notice, trouble } from "./words";

/** Time for which a microphone may give nothing before it is taken again: telephones take it for a call of theirs. */
const GONE_AFTER_MS = 1500;

export interface MicrophoneEvents {
  state(state: Microphone): void;
  /** null: a notice about the microphone before is void. */
  notice(notice: Notice | null): void;
}

export class CallMicrophone {
  readonly #room: Room;
  readonly #events: MicrophoneEvents;
  readonly #over = new AbortController();
  #device: string;
  #wanted = false;
  #isHeld: boolean;
  #isDown = false;
  #track: LocalTrack | undefined;
  #taking: Promise<LocalTrack[]> | undefined;
  #watched: MediaStreamTrack | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `device` is an identifier of the browser's, empty: the usual one. `isHeld`: it is on only while it is held. */
  constructor(room: Room, device: string, isHeld: boolean, events: MicrophoneEvents) {
    this.#room = room;
    this.#device = device;
    this.#isHeld = isHeld;
    this.#events = events;
    room
      .on(RoomEvent.TrackMuted, (_, who) => who.isLocal && this.#report())
      .on(RoomEvent.TrackUnmuted, (_, who) => who.isLocal && this.#report())
      .on(RoomEvent.LocalTrackUnpublished, ({ track }) => this.#drop(track));
    document.addEventListener("visibilitychange", () => this.#checkSoon(), { signal: this.#over.signal });
  }

  /** Switches it. Never throws: a refusal becomes a notice, and the call continues without it. */
  async set(on: boolean): Promise<void> {
    this.#wanted = on;
    if (this.#isOver) return;
    this.#events.state(on ? "asking" : "muted");
    try {
      if (this.#track) await this.#room.localParticipant.setMicrophoneEnabled(on);
      else if (on) await this.#take();
    } catch (error) {
      if (!this.#isOver) this.#events.notice(trouble(microphoneTrouble(error)));
    }
    this.#report();
  }

  /** Opens the microphone. What it gives is recorded until the call is connected, and then sent to the agent. */
  async #take(): Promise<void> {
    const me = this.#room.localParticipant;
    this.#taking ??= me.createTracks({ audio: this.#device ? { deviceId: this.#device } : true });
    const [track] = await this.#taking.finally(() => (this.#taking = undefined));
    if (!track || this.#track === track) return;
    this.#track = track;
    if (this.#isOver) {
      track.stop();
      return;
    }
    track.on(TrackEvent.Restarted, () => {
      this.#watch(track);
      this.#report();
    });
    this.#watch(track);
    this.#report();
    if (this.#room.state !== ConnectionState.Connected) track.startPreConnectBuffer();
    await me.publishTrack(track);
  }

  /** Takes another microphone, now or when it is switched on. */
  async use(device: string): Promise<void> {
    if (device === this.#device) return;
    this.#device = device;
    try {
      if (this.#track) await this.#room.switchActiveDevice("audioinput", device || "default");
    } catch (error) {
      if (!this.#isOver) this.#events.notice(trouble(microphoneTrouble(error)));
    }
  }

  /** Chooses whether it is on only while it is held. */
  holdToTalk(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#report();
  }

  /** Notes that the button is held down, or let go. */
  hold(down: boolean): void {
    this.#isDown = down;
    this.#report();
  }

  /** Takes a lost microphone again; a browser may want a press for it. */
  async resume(): Promise<void> {
    if (this.#isOver || !this.#wanted || this.#isWell) return;
    try {
      if (!this.#track) await this.#take();
      else if (this.#track.isMuted) await this.#track.unmute();
      else await this.#track.restartTrack();
    } catch {
      // Shown below.
    }
    if (this.#isOver) return;
    this.#events.notice(this.#isWell ? null : trouble("microphone-lost"));
    this.#report();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#over.abort();
    this.#track?.stop();
    this.#events.state("off");
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Whether the microphone gives sound. */
  get #isWell(): boolean {
    const media = this.#track?.mediaStreamTrack;
    return media !== undefined && !this.#track?.isMuted && media.readyState === "live" && !media.muted;
  }

  /** Forgets a track that LiveKit has given up. */
  #drop(track: LocalTrack | undefined): void {
    if (track === this.#track) this.#track = undefined;
    this.#report();
  }

  #watch(track: LocalTrack): void {
    const media = track.mediaStreamTrack;
    if (media === this.#watched) return;
    this.#watched = media;
    for (const name of ["mute", "ended"]) media.addEventListener(name, () => this.#checkSoon(), { signal: this.#over.signal });
  }

  #checkSoon(): void {
    clearTimeout(this.#timer);
    if (!this.#wanted || document.visibilityState !== "visible") return;
    this.#timer = setTimeout(() => void this.resume(), GONE_AFTER_MS);
  }

  #report(): void {
    if (this.#isOver) return;
    const isOpen = !this.#isHeld || this.#isDown;
    const track = this.#track;
    // A gate rather than mute: the agent gets silence, and so learns at once that the sentence has ended.
    if (track && !track.isMuted) track.mediaStreamTrack.enabled = isOpen;
    const off = track ? "muted" : "off";
    this.#events.state(track && !track.isMuted && isOpen ? "on" : off);
  }
}
