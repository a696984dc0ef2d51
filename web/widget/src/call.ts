/** Runs one call: a LiveKit room from joining it to hanging up. Knows nothing of the page. */

import {
  ConnectionState,
  DisconnectReason,
  type Participant,
  type RemoteParticipant,
  type RemoteTrack,
  Room,
  RoomEvent,
  RpcError,
  setLogLevel,
  type TextStreamReader,
  Track,
} from "livekit-client";

import { Heartbeat } from "./heartbeat";
import { type Door, parseReply, requestToken } from "./api";
import { disconnectNotice, joinNotice } from "./endings";
import { CallMicrophone } from "./microphone";
import { pause } from "./time";
import type { Choices } from "./settings";
import type { Reply, Segment } from "./transcript";
import type { Wait } from "./cards";
import { HUNG_UP_BY_AGENT, HUNG_UP_BY_CALLER, type Microphone, type Notice, type Phase, type Trouble, trouble } from "./words";

/** Time in which the agent must join the room. */
const JOIN_TIMEOUT_MS = 15_000;
/** Time in which another agent must come after one has dropped out; after it the page asks for one, too. */
const RETURN_TIMEOUT_MS = 3_000;
/** The longest wait until an earlier call is over at the server. */
const LEFT_WITHIN_MS = 6_000;

const CHAT = "lk.chat";
const TRANSCRIPTION = "lk.transcription";
const REPLY = "patchbay.reply";
const AGENT_STATE = "lk.agent.state";
/** Attribute of the receptionist, who speaks until the agent is there. */
const ROLE = "patchbay.role";
/** Attribute of a receptionist to whom a message can be left, and the procedure that returns once it is stored. */
const TAKES_MESSAGES = "patchbay.takes_messages";
const LEAVE_MESSAGE = "patchbay.message";
/** Attribute of a receptionist: the caller's place in the queue. */
const PLACE = "patchbay.place";
/** Attribute of a person who speaks with the caller in an agent's place; the server gives it. */
const PERSON = "patchbay.person";
/** Attribute of a typed message: whether its writer wants to hear the answer. */
const LISTENS = "patchbay.listens";
/** A method that no agent has. LiveKit's client beside the agent says so at once: a sign of life. */
const PING = "patchbay.ping";

/** Agent states in which it accepts words; `initializing` is not one of them. */
const READY: Readonly<Record<string, Phase>> = {
  idle: "listening",
  listening: "listening",
  thinking: "thinking",
  speaking: "speaking",
};

/** What may be out of reach: the network as the browser knows it, LiveKit's server, or the agent behind it. */
type Reach = "network" | "server" | "agent";

/** Callbacks of a call. None is called after the phase `ended`. */
export interface CallEvents {
  phase(phase: Phase): void;
  microphone(state: Microphone): void;
  /** The caller's words or the agent's, as far as they are transcribed. */
  segment(segment: Segment): void;
  /** The agent has finished an answer. */
  reply(reply: Reply): void;
  /** Another agent is in the room; it goes on where the one before has stopped. */
  agentReplaced(): void;
  /** The caller waits in the queue; null: no more. */
  waits(wait: Wait | null): void;
  /** null removes the last notice. */
  notice(notice: Notice | null): void;
  sound(from: "caller" | "agent", track: MediaStreamTrack, live: boolean): void;
}

setLogLevel("warn");

export class Call {
  readonly #door: Door;
  readonly #voice: boolean;
  readonly #events: CallEvents;
  readonly #room: Room;
  readonly #microphone: CallMicrophone;
  #continuation: string | undefined;
  #phase: Phase = "connecting";
  #agentTimer: ReturnType<typeof setTimeout> | undefined;
  #agentIdentity: string | null = null;
  /** True if the caller wants to hear the agent: not one who only types. */
  #listens: boolean;
  readonly #lost = new Set<Reach>();
  readonly #heartbeat = new Heartbeat(
    () => this.#ping(),
    (reached) => this.#setReach("agent", reached),
  );
  readonly #ended = new AbortController();

  /** With `voice` the microphone opens at once, and words spoken while connecting are recorded for the agent. */
  constructor(door: Door, voice: boolean, choices: Choices, events: CallEvents) {
    this.#door = door;
    this.#voice = voice;
    this.#listens = voice;
    this.#events = events;
    // LiveKit's client would hang up at `beforeunload`, which also comes where the page stays: at a link to an e-mail
    // address, at a download, and where the visitor answers the page's own question with "Stay".
    this.#room = new Room({ disconnectOnPageLeave: false });
    this.#microphone = new CallMicrophone(this.#room, choices.microphone, choices.hold, {
      state: (state) => this.#events.microphone(state),
      // Of a lost connection more is lost than the microphone.
      notice: (notice) => this.#lost.size === 0 && this.#events.notice(notice),
    });
    this.#observe();
  }

  /** True once the agent is in the room and accepts words; text sent earlier would be lost. */
  get ready(): boolean {
    return this.#phase === "listening" || this.#phase === "thinking" || this.#phase === "speaking";
  }

  /** Joins the room once an earlier call is `left`. Never throws: an error ends the call with a notice. */
  async open(left: Promise<void> | null): Promise<void> {
    this.#events.phase("connecting");
    // At once: what is said while the call connects is recorded for the agent.
    if (this.#voice) void this.setMicrophone(true);
    try {
      if (left) await Promise.race([left, pause(LEFT_WITHIN_MS)]);
      if (this.#over) return;
      const access = await requestToken(this.#door);
      if (this.#over) return;
      this.#continuation = access.continuation;
      await this.#room.connect(access.serverUrl, access.token);
    } catch (error) {
      this.#end(joinNotice(error));
      return;
    }
    // Registered only now: the error of a failed join says more than the disconnect that comes with it.
    this.#room.on(RoomEvent.Disconnected, (reason) => this.#end(disconnectNotice(reason)));
    this.#heartbeat.start();
    this.#expectAgent("agent-absent");
    this.#follow();
  }

  /** The server's proof of which call this is; undefined until it is let in. */
  get continuation(): string | undefined {
    return this.#continuation;
  }

  get microphone(): CallMicrophone {
    return this.#microphone;
  }

  /** Switches the microphone. Never throws. */
  async setMicrophone(on: boolean): Promise<void> {
    if (on) this.#listen();
    // A new try replaces the notice of an earlier refusal.
    if (on && this.#lost.size === 0) this.#events.notice(null);
    await this.#microphone.set(on);
  }

  /** Sends typed text to the agent; rejects if it could not be sent. */
  async send(text: string): Promise<void> {
    const attributes = { [LISTENS]: String(this.#listens) };
    await this.#room.localParticipant.sendText(text, { topic: CHAT, attributes });
  }

  /** Leaves a message for the people behind the agent; rejects if it is not stored. */
  async leaveMessage(text: string, contact: string): Promise<void> {
    const destinationIdentity = this.#receptionist()?.identity ?? "";
    const payload = JSON.stringify({ text, contact });
    await this.#room.localParticipant.performRpc({ destinationIdentity, method: LEAVE_MESSAGE, payload });
  }

  /** Plays the agent's voice after the browser has blocked it; needs a click or key press. */
  unblockSound(): void {
    if (this.#room.canPlaybackAudio) return;
    // If it is refused again, the notice stays and the next press tries again.
    void this.#room.startAudio().catch(() => undefined);
  }

  hangUp(): void {
    this.#end(HUNG_UP_BY_CALLER);
  }

  get #over(): boolean {
    return this.#phase === "ended";
  }

  #observe(): void {
    const signal = this.#ended.signal;
    window.addEventListener("pagehide", () => void this.#room.disconnect().catch(() => undefined), { signal });
    window.addEventListener("offline", () => this.#setReach("network", false), { signal });
    window.addEventListener("online", () => this.#setReach("network", true), { signal });
    this.#room.registerTextStreamHandler(TRANSCRIPTION, (reader, from) => this.#onTranscription(reader, from.identity));
    this.#room.registerTextStreamHandler(REPLY, (reader, from) => this.#isAgent(from.identity) && this.#onReply(reader));
    this.#room
      .on(RoomEvent.ParticipantConnected, () => this.#follow())
      .on(RoomEvent.ParticipantAttributesChanged, () => this.#follow())
      .on(RoomEvent.ParticipantDisconnected, (who, reason) => this.#onLeft(who, reason))
      .on(RoomEvent.ConnectionStateChanged, (state) => this.#onConnection(state))
      .on(RoomEvent.TrackSubscribed, (track) => this.#onTrack(track, true))
      .on(RoomEvent.TrackUnsubscribed, (track) => this.#onTrack(track, false))
      .on(RoomEvent.LocalTrackPublished, ({ track }) => track && this.#sound("caller", track.mediaStreamTrack, true))
      .on(RoomEvent.AudioPlaybackStatusChanged, () => this.#onPlayback());
  }

  /** Follows the agent's state once it is in the room. */
  #follow(): void {
    if (this.#over || this.#lost.size > 0 || this.#room.state !== ConnectionState.Connected) return;
    const agent = this.#readyAgent();
    if (!agent && this.#person() && !this.#agent()) {
      clearTimeout(this.#agentTimer);
      this.#events.notice(null);
      this.#enter("listening");
      return;
    }
    if (!agent) {
      // In the queue the agent comes when a line is free: the receptionist says how long that takes.
      const reception = this.#receptionist();
      if (reception) clearTimeout(this.#agentTimer);
      this.#events.waits(waitOf(reception));
      return;
    }
    this.#events.waits(null);
    clearTimeout(this.#agentTimer);
    if (this.#agentIdentity !== null && this.#agentIdentity !== agent.identity) {
      this.#events.notice(null);
      this.#events.agentReplaced();
    }
    this.#agentIdentity = agent.identity;
    this.#enter(READY[agent.attributes[AGENT_STATE] ?? ""] ?? "listening");
  }

  #readyAgent(): RemoteParticipant | undefined {
    const agent = this.#agent();
    return READY[agent?.attributes[AGENT_STATE] ?? ""] ? agent : undefined;
  }

  #agent(): RemoteParticipant | undefined {
    return [...this.#room.remoteParticipants.values()].find((who) => who.isAgent && !isReceptionist(who));
  }

  #receptionist(): RemoteParticipant | undefined {
    return [...this.#room.remoteParticipants.values()].find(isReceptionist);
  }

  #person(): RemoteParticipant | undefined {
    return [...this.#room.remoteParticipants.values()].find((who) => who.attributes[PERSON] === "true");
  }

  #isAgent(identity: string): boolean {
    return this.#room.remoteParticipants.get(identity)?.isAgent === true;
  }

  /** Ends the call if no agent comes in time. */
  #expectAgent(otherwise: Trouble): void {
    clearTimeout(this.#agentTimer);
    this.#agentTimer = setTimeout(() => this.#end(trouble(otherwise)), JOIN_TIMEOUT_MS);
  }

  /** Waits for an agent in place of one that dropped out, and asks the server for it if none comes by itself. */
  #expectAnother(): void {
    clearTimeout(this.#agentTimer);
    this.#agentTimer = setTimeout(() => {
      this.#expectAgent("agent-lost");
      // A refusal changes nothing: the agent may still come.
      void requestToken(this.#door, this.#continuation).catch(() => undefined);
    }, RETURN_TIMEOUT_MS);
  }

  #onLeft(who: Participant, reason: DisconnectReason | undefined): void {
    if (this.#agent() || this.#lost.size > 0) return;
    if (this.#person()) {
      this.#follow();
      return;
    }
    if (who.attributes[PERSON] === "true") {
      // A person who goes gives the caller back to an agent.
      this.#enter("connecting");
      this.#expectAnother();
      return;
    }
    if (!who.isAgent) return;
    if (isReceptionist(who)) {
      if (!this.#receptionist()) this.#expectAgent("agent-absent");
      return;
    }
    if (reason === DisconnectReason.CLIENT_INITIATED) {
      this.#end(HUNG_UP_BY_AGENT);
      return;
    }
    // The agent did not hang up: another one may replace a crashed agent.
    this.#enter("connecting");
    this.#events.notice(trouble("agent-dropped"));
    this.#expectAnother();
  }

  #onConnection(state: ConnectionState): void {
    if (state === ConnectionState.Reconnecting || state === ConnectionState.SignalReconnecting) {
      this.#setReach("server", false);
    } else if (state === ConnectionState.Connected) {
      this.#setReach("server", true);
    }
  }

  /** Asks the agent for a sign of life; resolves once it has come, and at once while no agent is there to give one. */
  async #ping(): Promise<void> {
    const agent = this.#readyAgent();
    if (!agent) return;
    try {
      await this.#room.localParticipant.performRpc({ destinationIdentity: agent.identity, method: PING, payload: "" });
    } catch (error) {
      if (!(error instanceof RpcError) || error.code !== RpcError.ErrorCode.UNSUPPORTED_METHOD) throw error;
    }
  }

  /** Shows that the connection is lost, as long as anything on the way to the agent is out of reach. */
  #setReach(what: Reach, reached: boolean): void {
    if (this.#over || this.#lost.has(what) !== reached) return;
    if (reached) this.#lost.delete(what);
    else this.#lost.add(what);
    if (this.#lost.size === 0) {
      this.#events.notice(null);
      this.#enter("connecting");
      this.#expectAnother();
      this.#follow();
    } else {
      clearTimeout(this.#agentTimer);
      this.#enter("reconnecting");
      this.#events.notice(trouble("lost"));
    }
  }

  /** Plays a track of the agent, which may have several: its voice, and sentences played beside it. */
  #onTrack(track: RemoteTrack, live: boolean): void {
    if (track.kind !== Track.Kind.Audio) return;
    if (live) track.attach().muted = !this.#listens;
    else track.detach();
    this.#sound("agent", track.mediaStreamTrack, live);
  }

  /** Lets the caller hear the agent from now on. */
  #listen(): void {
    this.#listens = true;
    for (const who of [this.#agent(), this.#receptionist()]) {
      for (const { track } of who?.trackPublications.values() ?? []) {
        for (const element of track?.attachedElements ?? []) element.muted = false;
      }
    }
  }

  #sound(from: "caller" | "agent", track: MediaStreamTrack, live: boolean): void {
    if (!this.#over) this.#events.sound(from, track, live);
  }

  #onPlayback(): void {
    if (this.#over) return;
    this.#events.notice(this.#room.canPlaybackAudio ? null : trouble("sound-blocked"));
  }

  async #onTranscription(reader: TextStreamReader, sender: string): Promise<void> {
    // The agent sends both sides' words, the caller's in the caller's name; LiveKit lets no visitor do the like.
    const isOwn = sender === this.#room.localParticipant.identity;
    if (!isOwn && !this.#isAgent(sender)) return;
    const who = isOwn ? "caller" : "agent";
    const id = reader.info.attributes?.["lk.segment_id"] ?? reader.info.id;
    let text = "";
    try {
      for await (const piece of reader) {
        text += piece;
        if (!this.#over) this.#events.segment({ id, who, text, final: false });
      }
    } catch {
      // The sender left in mid-sentence: the text so far is all of it.
    }
    // The agent's words are one stream, which ends with them; each partial of the caller's is a separate stream.
    const final = who === "agent" || reader.info.attributes?.["lk.transcription_final"] === "true";
    if (!this.#over) this.#events.segment({ id, who, text, final });
  }

  async #onReply(reader: TextStreamReader): Promise<void> {
    const reply = parseReply(await reader.readAll().catch(() => ""));
    if (reply && !this.#over) this.#events.reply(reply);
  }

  #enter(phase: Phase): void {
    if (this.#over || phase === this.#phase) return;
    this.#phase = phase;
    this.#events.phase(phase);
  }

  #end(notice: Notice): void {
    if (this.#over) return;
    clearTimeout(this.#agentTimer);
    this.#heartbeat.stop();
    this.#ended.abort();
    this.#microphone.close();
    this.#events.waits(null);
    this.#events.notice(notice);
    this.#enter("ended");
    // The call is over for the page either way: an unreachable server cannot be notified.
    void this.#room.disconnect().catch(() => undefined);
  }
}

function isReceptionist(who: Participant): boolean {
  return who.attributes[ROLE] === "reception";
}

/** Returns the wait that a receptionist tells of; null: it only covers a moment. */
function waitOf(reception: RemoteParticipant | undefined): Wait | null {
  const takesMessages = reception?.attributes[TAKES_MESSAGES] === "true";
  const place = Number(reception?.attributes[PLACE] ?? 0) || 0;
  return takesMessages || place > 0 ? { place, takesMessages } : null;
}
