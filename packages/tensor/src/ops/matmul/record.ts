import { ValueError } from "../../errors.ts";
import type { Along } from "./operand.ts";

export const tileClasses = ["plain", "broadcast", "workgroup", "split"] as const;

/** The ways to compute a product on a GPU device; "plain" is the readable one that takes everything everywhere. */
export type TileClass = (typeof tileClasses)[number];

const alongs = ["k", "lines"] as const satisfies readonly Along[];
const rowClasses = ["1", "8", "many"] as const;

/** The class of kernels for products of one kind. */
export interface TileChoice {
  /** "k" where neighbouring values of a row of a are neighbouring steps of the sum, "lines" where a is transposed. */
  readonly a: Along;
  /** "k" where b is transposed, as Linear keeps its weight, else "lines". */
  readonly b: Along;
  /** Rows of the product: one, 2 to 8, or more. */
  readonly rows: (typeof rowClasses)[number];
  readonly tile: TileClass;
}

/** Choices that were measured on one machine, by `tuneTiles`. Plain data, to be kept as JSON. */
export interface TileRecord {
  /** `device.name` of the device that was measured. */
  readonly adapter: string;
  readonly choices: readonly TileChoice[];
}

export const rowsOf = (m: number): TileChoice["rows"] => (m === 1 ? "1" : m <= 8 ? "8" : "many");

/** What a record says of a product; undefined where it says nothing. */
export const choiceOf = (
  record: TileRecord | undefined,
  { m, alongA, alongB }: { m: number; alongA: Along; alongB: Along },
): TileClass | undefined =>
  record?.choices.find(({ a, b, rows }) => a === alongA && b === alongB && rows === rowsOf(m))?.tile;

/** The record in `given`, which may come from a file, as a copy that nobody changes. Throws ValueError, in the name of `who`, for anything else. */
export function tileRecord(who: string, given: unknown, adapter: string): TileRecord {
  const { adapter: name, choices } = fieldsOf(given);
  if (typeof name !== "string" || !Array.isArray(choices))
    throw new ValueError(
      who,
      `tiles must be a record { adapter, choices: [...] }, got ${shown(given)}. Make one with tuneTiles.`,
    );
  if (name !== adapter)
    throw new ValueError(
      who,
      `tiles must be a record of the adapter "${adapter}", got one of "${name}". Make one here with tuneTiles, or leave tiles out.`,
    );
  const seen = new Set<string>();
  const checked = choices.map((choice: unknown, i): TileChoice => {
    const where = `tiles.choices[${i}]`;
    const { a, b, rows, tile } = fieldsOf(choice);
    const one: TileChoice = {
      a: oneOf(who, `${where}.a`, alongs, a),
      b: oneOf(who, `${where}.b`, alongs, b),
      rows: oneOf(who, `${where}.rows`, rowClasses, rows),
      tile: oneOf(who, `${where}.tile`, tileClasses, tile),
    };
    const kind = `a ${one.a}, b ${one.b}, rows ${one.rows}`;
    if (seen.has(kind))
      throw new ValueError(
        who,
        `${where} must be of a kind of its own, got a second one for ${kind}. Leave one of them out.`,
      );
    seen.add(kind);
    return Object.freeze(one);
  });
  return Object.freeze({ adapter: name, choices: Object.freeze(checked) });
}

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}; // each field is checked

function oneOf<T extends string>(who: string, where: string, known: readonly T[], got: unknown): T {
  const found = known.find((each) => each === got);
  if (found === undefined) {
    const expected = known.map((each) => `"${each}"`).join(", ");
    throw new ValueError(
      who,
      `${where} must be one of ${expected}, got ${shown(got)}. Make the record anew with tuneTiles.`,
    );
  }
  return found;
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 80);
