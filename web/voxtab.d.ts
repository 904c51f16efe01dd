// Types of voxtab.js. What each thing does is in tools/npm/README.md.

/** A model: an address, "self-test", its files, or one that this browser keeps (`Voxtab.kept`). */
export type ModelSource = string | URL | File | File[] | { kept: string };

export interface OpenOptions {
  model: ModelSource;
  /** The model's tekken.json, where it is neither beside the model nor inside it. */
  tokenizer?: string | URL | File | null;
  /** Whether chosen files are kept in the browser's storage, as models from addresses are. Default: false. */
  keep?: boolean;
  /** Of transcriptions that name none: 80 to 1200 in steps of 80, or 2400. Default: the model's. */
  delayMs?: number | null;
  signal?: AbortSignal | null;
  onProgress?: (progress: OpeningProgress) => void;
}

export interface OpeningProgress {
  stage: "python" | "device" | "weights" | "kernels" | "network";
  /** Bytes of weights that are on the GPU, and of all; 0 in other stages. */
  done: number;
  total: number;
  /** In the stage "network": a sentence for the user, on what a download waits for, or why nothing is kept. */
  message: string | null;
}

export interface KeptModel {
  /** For `open({ model: { kept } })` and `remove(kept)`. */
  kept: string;
  /** null if what is known of it is damaged. */
  name: string | null;
  /** Of the whole model, or null; it opens without a network if `keptBytes` is the same. */
  bytes: number | null;
  keptBytes: number;
}

/** Mono samples from -1 to 1, at 16 kHz unless `rate` says otherwise. */
export type Samples = Float32Array | { samples: Float32Array; rate?: number };

export type AudioSource = Samples | Iterable<Samples> | AsyncIterable<Samples> | MediaStream | Blob;

export interface TranscribeOptions {
  delayMs?: number | null;
  /** Tokens of 80 ms of silence before the audio. Default: the model's. */
  leftSilenceTokens?: number | null;
  /** Start the model again where it writes nothing although someone talks. Default: true. */
  guard?: boolean;
  /** How many to note of what each token might have been, itself included: up to 4. Default: 0. */
  alternatives?: number;
  signal?: AbortSignal | null;
}

/** Times are in seconds of the audio. */
export interface Timed {
  text: string;
  start: number;
  end: number;
}

export interface Word extends Timed {
  /** With `alternatives`: the probability of all its tokens together. */
  confidence?: number;
  /** With `alternatives`: for each of its tokens, itself first. */
  alternatives?: { text: string; probability: number }[][];
}

/** As the JSON of `voxtab transcribe`, with the subtitles. */
export interface Result {
  text: string;
  words: Word[];
  segments: Timed[];
  audio_seconds: number;
  delay_ms: number;
  model: string;
  timings: { load_s: number; run_s: number; rtf: number | null; step_ms: { median: number; p99: number } };
  /** Sentences on what is wrong with a file. */
  notes?: string[];
  /** Where the model was started again. */
  restarts?: number[];
  /** The contents of files. */
  subtitles: { srt: string; vtt: string; tsv: string };
}

export type FailureKind =
  | "aborted"
  | "audio"
  | "bug"
  | "crash"
  | "device"
  | "kept"
  | "lost"
  | "microphone"
  | "model"
  | "network"
  | "silent"
  | "tokenizer";

/** Its message is a sentence for the user. */
export class Failure extends Error {
  constructor(kind: FailureKind, message: string);
  kind: FailureKind;
}

/** Listeners whose events have a `detail` of the type that `Events` gives. */
interface Tells<Events> extends EventTarget {
  addEventListener<Name extends keyof Events & string>(
    name: Name,
    listener: (event: CustomEvent<Events[Name]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface Transcription
  extends Tells<{ text: string; word: Word; progress: { done: number; total: number | null } }>,
    AsyncIterable<Word> {
  /** So far. */
  readonly words: Word[];
  readonly text: string;
  /** Seconds of the audio whose text has come. */
  readonly seconds: number;
  readonly result: Promise<Result>;
  /** What was heard until now is the whole. */
  finish(): Promise<Result>;
}

export interface Voxtab extends Tells<{ lost: Failure; quiet: boolean }> {
  /** `kept`: its key, if this browser keeps all of it. */
  readonly model: { name: string; bytes: number; delayMs: number; kept: string | null };
  readonly gpu: { vendor: string; device: string; description: string; software: boolean };
  transcribe(source: AudioSource, options?: TranscribeOptions): Transcription;
  close(): void;
}

export const Voxtab: {
  open(options: OpenOptions): Promise<Voxtab>;
  /** The models that the browser keeps for this page's origin. */
  kept(): Promise<KeptModel[]>;
  remove(kept: string): Promise<void>;
};
