/** The texts of talking by voice. */

export const talk = {
  title: "By voice",
  on: "Voice on",
  off: "Voice off",
  mute: "Mute me",
  unmute: "Speak again",
  joining: "Calling an agent…",
  waits: "No agent is here yet. If none comes, see on the page of calls whether a worker has a free place.",
  talking: "Speak: the agent hears you.",
  muted: "The agent does not hear you.",
  level: "Loudness of the agent",
  leave: "You are talking by voice. Hang up and leave?",
  kept: "What was said by voice is kept as a chat.",
  keep: "Keep what was said as a chat",
  you: "You",
  agent: "Agent",
  noMicrophone: "The browser gives no microphone: allow it for this page, and try again.",
} as const;
