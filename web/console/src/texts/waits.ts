/** The texts of the page of settings of waits. */

export const waits = {
  title: "What decides how long callers wait",
  forAdmins: "The settings of this server are for admins: sign in with an admin's key to see them.",
  note: "These are the settings of the HTTP process, from its environment or .env; a worker elsewhere and an assistant may have their own. A change holds from the next start on.",
  changed: "changed",
  parts: {
    words: "Until what was said is recognised",
    end: "Until the end of the turn is decided",
    model: "Until the first word of the model",
    voice: "Until the first sound of the voice",
    filler: "Until a filler is said meanwhile",
  },
} as const;
