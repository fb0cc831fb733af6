/** Mutations and the judge for fuzzing readers: every input is refused with a CheckpointError or accepted, soon. */
import { expect } from "vitest";

import { CheckpointError } from "../../src/checkpoint/index.ts";

/** Longest time for one input, in ms. Slow ones are tried again, since the machine may have been busy. */
const patienceMs = 50;

export interface Random {
  /** A whole number from 0 to `below` − 1. */
  below(below: number): number;
  pick<T>(items: readonly T[]): T;
}

/** mulberry32, seeded like the properties of this run, so that a failure can be repeated. */
export function random(salt: number): Random {
  let state = (Number(process.env.GRAFT_FC_SEED ?? 1) ^ (salt * 0x9e3779b9)) >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) % limit;
  };
  return { below, pick: (items) => items[below(items.length)] };
}

const bytesOfNote = [0, 1, 0x20, 0x22, 0x2c, 0x30, 0x39, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xff];
const wordsOfNote = [
  0n,
  1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 61n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** A copy with one to four changes among the first `reach` bytes. */
export function mutateBytes(bytes: Uint8Array, { below, pick }: Random, reach = bytes.length): Uint8Array {
  let out: Uint8Array = bytes.slice();
  for (let changes = 1 + below(4); changes > 0 && out.length > 0; changes--) {
    const at = below(Math.min(reach, out.length));
    switch (below(7)) {
      case 0:
        out[at] ^= 1 << below(8);
        break;
      case 1:
        out[at] = pick(bytesOfNote);
        break;
      case 2:
        out = out.slice(0, below(4) === 0 ? at : out.length - below(Math.min(40, out.length)));
        break;
      case 3:
        out = joined(out.subarray(0, at), Uint8Array.of(pick(bytesOfNote)), out.subarray(at));
        break;
      case 4:
        out = joined(out.subarray(0, at), out.subarray(at + 1 + below(8)));
        break;
      case 5: {
        const from = below(out.length);
        out = joined(out.subarray(0, at), out.subarray(from, from + below(24)), out.subarray(at));
        break;
      }
      default:
        if (out.length >= at + 8) new DataView(out.buffer).setBigUint64(at, pick(wordsOfNote), true);
    }
  }
  return out;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * Reads each input; `check` looks at what was accepted.
 *
 * @returns how many were accepted and refused
 */
export async function judge<T>(
  inputs: Iterable<Uint8Array>,
  read: (bytes: Uint8Array) => Promise<T>,
  check: (result: T, bytes: Uint8Array) => Promise<void>,
): Promise<{ accepted: number; refused: number }> {
  const count = { accepted: 0, refused: 0 };
  for (const bytes of inputs) {
    const outcome = await timed(bytes, read);
    if (outcome.ms > patienceMs) {
      const again = Math.min((await timed(bytes, read)).ms, (await timed(bytes, read)).ms);
      if (again > patienceMs) expect.fail(`${again} ms for ${show(bytes)}`);
    }
    if ("error" in outcome) {
      if (!(outcome.error instanceof CheckpointError))
        expect.fail(`${String(outcome.error)} for ${show(bytes)}`);
      if (outcome.error.message.length > 2000)
        expect.fail(`a message of ${outcome.error.message.length} characters for ${show(bytes)}`);
      count.refused++;
    } else {
      await check(outcome.result, bytes);
      count.accepted++;
    }
  }
  return count;
}

async function timed<T>(
  bytes: Uint8Array,
  read: (bytes: Uint8Array) => Promise<T>,
): Promise<{ ms: number } & ({ result: T } | { error: unknown })> {
  const started = performance.now();
  try {
    const result = await read(bytes);
    return { ms: performance.now() - started, result };
  } catch (error) {
    return { ms: performance.now() - started, error };
  }
}

/** The input, so that it can be pasted into a test. */
function show(bytes: Uint8Array): string {
  return `base64 ${Buffer.from(bytes.subarray(0, 3000)).toString("base64")}`;
}
