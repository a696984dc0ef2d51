/** A supervisor's seat in the room of a call: hears both sides and, if wanted, speaks with the caller. Loaded when it is needed. */

import { Room, RoomEvent, Track, type RemoteTrack } from "livekit-client";

import { Level, visible } from "../../../widget/src/level";
import type { Schemas } from "../api/client";

/** Milliseconds between two readings of the level. */
const EVERY = 100;

export interface SeatEvents {
  /** Called with how loud the call is, 0 to 1. */
  onLevel: (level: number) => void;
  /** Called once when the seat is left, for whatever reason. */
  onEnd: () => void;
}

export class Seat {
  readonly #room = new Room();
  readonly #level = new Level();
  readonly #sounds = new Set<HTMLMediaElement>();
  readonly #events: SeatEvents;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(events: SeatEvents) {
    this.#events = events;
    this.#room.on(RoomEvent.TrackSubscribed, (track) => this.#play(track));
    this.#room.on(RoomEvent.TrackUnsubscribed, (track) => this.#stop(track));
    this.#room.on(RoomEvent.Disconnected, () => this.#end());
  }

  /** Joins the room; with the microphone if `speaks`. Throws if the room or the microphone refuses. */
  async join({ server_url, participant_token }: Schemas["SeatRead"], speaks: boolean): Promise<void> {
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
  }

  #stop(track: RemoteTrack): void {
    for (const sound of track.detach()) this.#sounds.delete(sound);
    this.#level.remove(track.mediaStreamTrack);
  }

  #end(): void {
    if (this.#timer !== undefined) clearInterval(this.#timer);
    this.#timer = undefined;
    this.#level.close();
    for (const sound of this.#sounds) sound.remove();
    this.#sounds.clear();
    this.#events.onEnd();
  }
}
