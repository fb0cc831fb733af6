import { findAdapter, gpuGlobals, settle } from "@graft/tensor/node";
import { benchmarksFolder } from "./paths.ts";

/** A tensor of a problem, row-major. */
export interface Values {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** AdamW on one batch again and again, from the same values: the same mathematics for every library. */
export interface TrainingProblem {
  readonly parameters: Readonly<Record<string, Values>>;
  readonly adamW: {
    readonly learningRate: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weightDecay: number;
  };
}

/** Linear layers with biases, ReLU between them, mean squared error. */
export interface MlpProblem extends TrainingProblem {
  readonly sizes: readonly number[];
  readonly input: Values;
  readonly target: Values;
}

/** GPT-2 under transformers' names, matrices as `[in, out]`, the head tied; cross-entropy of the next token. */
export interface GptProblem extends TrainingProblem {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly vocabulary: number;
  readonly rows: number;
  readonly length: number;
  readonly layerNormEps: number;
  /** `[rows, length]` */
  readonly ids: Int32Array;
  /** The token after each; `[rows, length]` */
  readonly targets: Int32Array;
}

/** Something that runs again and again. */
export interface Program {
  run(): unknown;
  finish(): Promise<void>;
  /** The last run's loss, or the first values of its result. */
  result(): Promise<readonly number[]>;
}

/** Another library, open on the adapter that Graft uses. Undefined: it cannot do this. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** `a · b`, both `[n, n]` */
  matmul?(a: Values, b: Values): Promise<Program>;
  mlpStep?(problem: MlpProblem): Promise<Program>;
  gptStep?(problem: GptProblem): Promise<Program>;
}

/** What a file of `peers/` exports. */
interface PeerModule {
  open(settle: <T>(promise: Promise<T>) => Promise<T>): Promise<Peer>;
}

const folder = new URL("peers/", benchmarksFolder);
const files = { "jax-js": "jaxJs.mjs", tfjs: "tfjs.mjs" };

/** The peers that are installed; `missing` is told the names of the others. */
export async function openPeers(missing: (name: string) => void): Promise<Peer[]> {
  const peers: Peer[] = [];
  await actAsPage();
  for (const [name, file] of Object.entries(files)) {
    const peer = await openPeer(new URL(file, folder));
    if (peer === undefined) missing(name);
    else peers.push(peer);
  }
  return peers;
}

/** The peer of a file that exports `open`; undefined where a package that it imports is not installed. */
export async function openPeer(file: URL): Promise<Peer | undefined> {
  try {
    const { open } = (await import(file.href)) as PeerModule; // our own files
    return await open(settle);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

/** Gives the process what these libraries expect of a page: WebGPU's globals, and `navigator.gpu` with Graft's adapter. */
async function actAsPage(): Promise<void> {
  for (const [name, value] of Object.entries(await gpuGlobals()))
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  const gpu = {
    // An adapter gives one device; each library asks for its own.
    requestAdapter: async () => (await findAdapter({ allowSoftware: true })).adapter,
    getPreferredCanvasFormat: () => "bgra8unorm",
    wgslLanguageFeatures: new Set<string>(),
  };
  const navigator = { gpu, userAgent: "node", hardwareConcurrency: 1 };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  addIteratorHelpers();
}

/** jax-js 0.1.25 calls `map` on iterators, which Node has from 22 on. */
function addIteratorHelpers(): void {
  const prototype: object = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  const helpers = {
    *map(this: Iterable<unknown>, fn: (value: unknown, i: number) => unknown) {
      let i = 0;
      for (const value of this) yield fn(value, i++);
    },
    *filter(this: Iterable<unknown>, fn: (value: unknown, i: number) => boolean) {
      let i = 0;
      for (const value of this) if (fn(value, i++)) yield value;
    },
    toArray(this: Iterable<unknown>) {
      return [...this];
    },
  };
  for (const [name, value] of Object.entries(helpers))
    if (!(name in prototype)) Object.defineProperty(prototype, name, { value, configurable: true });
}
