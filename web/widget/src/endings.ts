/** Tells a person why a call could not begin, has ended, or has no microphone. */

import { DisconnectReason, MediaDeviceFailure } from "livekit-client";

import { Refused, Unreachable } from "./api";
import { HUNG_UP_BY_AGENT, type Notice, refusal, type Trouble, trouble } from "./words";

/** Returns why a call could not begin. */
export function joinNotice(error: unknown): Notice {
  if (error instanceof Unreachable) return trouble("server-unreachable");
  return error instanceof Refused ? refusal(error) : trouble("media-unreachable");
}

/** Returns why a call has ended. */
export function disconnectNotice(reason: DisconnectReason | undefined): Notice {
  switch (reason) {
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
    case DisconnectReason.PARTICIPANT_REMOVED:
      return HUNG_UP_BY_AGENT;
    case DisconnectReason.DUPLICATE_IDENTITY:
      return trouble("moved-elsewhere");
    default:
      return trouble("connection-lost");
  }
}

export function microphoneTrouble(error: unknown): Trouble {
  if (!window.isSecureContext) return "microphone-insecure";
  switch (MediaDeviceFailure.getFailure(error)) {
    case MediaDeviceFailure.PermissionDenied:
      return "microphone-denied";
    case MediaDeviceFailure.NotFound:
      return "microphone-missing";
    case MediaDeviceFailure.DeviceInUse:
      return "microphone-busy";
    default:
      return "microphone-failed";
  }
}
