/** Measures the combined loudness of audio tracks, without playing them. */

/** Samples in one window: enough that reading every 40 ms leaves no gap at 48 kHz. */
const WINDOW = 2048;

export class Level {
  /** The highest loudness that {@link read} has returned, 0 to 1. */
  peak = 0;

  #context: AudioContext | null = null;
  #analyser: AnalyserNode | null = null;
  #samples = new Float32Array(WINDOW);
  readonly #sources = new Map<MediaStreamTrack, MediaStreamAudioSourceNode>();

  add(track: MediaStreamTrack): void {
    if (this.#sources.has(track)) return;
    // Created late: browsers refuse an audio context before the first click or key.
    this.#context ??= new AudioContext();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: WINDOW });
    void this.#context.resume();
    const source = this.#context.createMediaStreamSource(new MediaStream([track]));
    source.connect(this.#analyser);
    this.#sources.set(track, source);
  }

  remove(track: MediaStreamTrack): void {
    this.#sources.get(track)?.disconnect();
    this.#sources.delete(track);
  }

  /** Returns the loudness of the last 40 ms, as root mean square of samples between -1 and 1. */
  read(): number {
    if (!this.#analyser || this.#sources.size === 0) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const level = rootMeanSquare(this.#samples);
    this.peak = Math.max(this.peak, level);
    return level;
  }

  /** Releases the audio device. The peak stays, and a later {@link add} opens the device again. */
  close(): void {
    for (const track of [...this.#sources.keys()]) this.remove(track);
    void this.#context?.close();
    this.#context = null;
    this.#analyser = null;
  }
}

/** Time (ms) from one reading to the next. */
const SAMPLE_EVERY_MS = 40;

/** The loudness of both sides of a call, from its begin to its end. */
export class Meters {
  readonly caller = new Level();
  readonly agent = new Level();
  readonly #show: (caller: number, agent: number) => void;
  #sampling: ReturnType<typeof setInterval> | undefined;

  /** `show` gets the loudness as it is shown, 0 to 1. */
  constructor(show: (caller: number, agent: number) => void) {
    this.#show = show;
  }

  /** `isMuted`: what the caller's microphone gets is not shown. */
  start(isMuted: () => boolean): void {
    const sample = () => this.#show(isMuted() ? 0 : visible(this.caller.read()), visible(this.agent.read()));
    this.#sampling = setInterval(sample, SAMPLE_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#sampling);
    this.caller.close();
    this.agent.close();
    this.#show(0, 0);
  }
}

export function rootMeanSquare(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return samples.length === 0 ? 0 : Math.sqrt(sum / samples.length);
}

/** Scales a loudness for display: 0 to 1, with quiet speech clearly visible. */
export function visible(level: number): number {
  return Math.min(1, Math.sqrt(level * 4));
}
