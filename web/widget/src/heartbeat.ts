/** Notices within three seconds that nothing reaches the other side any more, and that it does again. */

/** Time from one sign of life that is asked for to the next. */
const EVERY_MS = 700;
/** Time without an answer after which the other side counts as out of reach. */
const LOST_AFTER_MS = 1400;

export class Heartbeat {
  readonly #ping: () => Promise<void>;
  readonly #onChange: (reached: boolean) => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** When the oldest ping was sent of those since the last answer. */
  #waitingSince: number | null = null;
  #reached = true;

  /** `ping` resolves once the other side has answered, and rejects or stays open if it has not. */
  constructor(ping: () => Promise<void>, onChange: (reached: boolean) => void) {
    this.#ping = ping;
    this.#onChange = onChange;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#beat(), EVERY_MS);
  }

  /** Stops; answers that are still under way change nothing any more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    const now = performance.now();
    this.#waitingSince ??= now;
    if (now - this.#waitingSince >= LOST_AFTER_MS) this.#note(false);
    void this.#ping().then(
      () => this.#answered(),
      () => undefined,
    );
  }

  #answered(): void {
    this.#waitingSince = null;
    this.#note(true);
  }

  #note(reached: boolean): void {
    if (this.#timer === undefined || reached === this.#reached) return;
    this.#reached = reached;
    this.#onChange(reached);
  }
}
