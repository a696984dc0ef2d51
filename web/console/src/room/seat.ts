/** A place in the room of a call, of a supervisor or of somebody who tries an assistant: hears it and, if wanted, speaks. Loaded when it is needed. */

import { Room, RoomEvent, Track, type RemoteTrack, type TextStreamReader } from "livekit-client";

import { Level, visible } from "../../../widget/src/level";
import type { Segment } from "../../../widget/src/transcript";
import type { Schemas } from "../api/client";

/** Milliseconds between two readings of the level. */
const EVERY = 100;
const TRANSCRIPTION = "lk.transcription";

export interface SeatEvents {
  /** Called with how loud the call is, 0 to 1. */
  onLevel: (level: number) => void;
  /** Called once when the seat is left, for whatever reason. */
  onEnd: () => void;
  /** Called with each sound that begins. */
  onSound?: () => void;
  /** Called with the words of both sides as they are transcribed. */
  onSaid?: (segment: Segment) => void;
}

export class Seat {
  /** By itself it would leave as soon as the browser asks whether to leave the page, whatever the answer. */
  readonly #room = new Room({ disconnectOnPageLeave: false });
  readonly #onPageHide = () => void this.#room.disconnect();
  readonly #level = new Level();
  readonly #sounds = new Set<HTMLMediaElement>();
  readonly #events: SeatEvents;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(events: SeatEvents) {
    this.#events = events;
    this.#room.on(RoomEvent.TrackSubscribed, (track) => this.#play(track));
    this.#room.on(RoomEvent.TrackUnsubscribed, (track) => this.#stop(track));
    this.#room.on(RoomEvent.Disconnected, () => this.#end());
    if (events.onSaid) this.#room.registerTextStreamHandler(TRANSCRIPTION, (reader, { identity }) => void this.#read(reader, identity));
  }

  /** Joins the room; with the microphone if `speaks`. Throws if the room or the microphone refuses. */
  async join({ server_url, participant_token }: Schemas["SeatRead"], speaks: boolean): Promise<void> {
    addEventListener("pagehide", this.#onPageHide);
    try {
      await this.#room.connect(server_url, participant_token);
      if (speaks) await this.#room.localParticipant.setMicrophoneEnabled(true);
      await this.#room.startAudio();
    } catch (error) {
      await this.leave();
      throw error;
    }
    this.#timer = setInterval(() => this.#events.onLevel(visible(this.#level.read())), EVERY);
  }

  async mute(isMuted: boolean): Promise<void> {
    await this.#room.localParticipant.setMicrophoneEnabled(!isMuted);
  }

  async leave(): Promise<void> {
    await this.#room.disconnect();
    this.#end();
  }

  #play(track: RemoteTrack): void {
    if (track.kind !== Track.Kind.Audio) return;
    this.#sounds.add(track.attach());
    this.#level.add(track.mediaStreamTrack);
    this.#events.onSound?.();
  }

  #stop(track: RemoteTrack): void {
    for (const sound of track.detach()) this.#sounds.delete(sound);
    this.#level.remove(track.mediaStreamTrack);
  }

  /** The agent sends the words of both sides, mine in my name. Its own are one stream; each guess at mine is one. */
  async #read(reader: TextStreamReader, sender: string): Promise<void> {
    const who = sender === this.#room.localParticipant.identity ? "caller" : "agent";
    const id = reader.info.attributes?.["lk.segment_id"] ?? reader.info.id;
    let text = "";
    try {
      for await (const piece of reader) {
        text += piece;
        this.#events.onSaid?.({ id, who, text, final: false });
      }
    } catch {
      // The agent has left in mid-sentence: the text so far is all of it.
    }
    const final = who === "agent" || reader.info.attributes?.["lk.transcription_final"] === "true";
    this.#events.onSaid?.({ id, who, text, final });
  }

  #end(): void {
    removeEventListener("pagehide", this.#onPageHide);
    if (this.#timer !== undefined) clearInterval(this.#timer);
    this.#timer = undefined;
    this.#level.close();
    for (const sound of this.#sounds) sound.remove();
    this.#sounds.clear();
    this.#events.onEnd();
  }
}
