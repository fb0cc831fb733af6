import type { Param } from "../kernel.ts";

/** A matrix of lines along the head dimension, as the generators name it: `x_load(line start, four values)`. */
export interface Lines {
  /** Of the binding. */
  readonly name: string;
  /** WGSL: where the matrix begins. */
  readonly start: string;
  /** WGSL: the first line of the tile. */
  readonly first: string;
}

/**
 * How the tiles of attention are computed by one workgroup. It owns `rows` lines of one side and takes `columns` lines of
 * the other at a time. A lane has the scores `s<r>_<c>` for r in `mine` and c in `others`, and of each accumulator the
 * vec4s `y<r>_<part>`.
 */
export interface Engine {
  readonly key: string;
  readonly lanes: number;
  readonly subgroups: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly mine: readonly number[];
  readonly others: readonly number[];
  readonly parts: readonly number[];
  /** WGSL: the number of a lane's row and column within the tile. */
  row(r: number): string;
  column(c: number): string;
  readonly params: readonly Param[];
  /** The first statements of main. */
  readonly begin: string;
  /** Module-level WGSL. */
  declare(): string;
  /** What is declared once for lines that stay for the whole kernel. */
  hold(a: Lines): string;
  /** Declares `s<r>_<c>` = a line · b line. `a` is held. */
  product(s: string, a: Lines, b: Lines): string;
  /** y<r> += Σ over columns of s<r>_<c> · line c of b. */
  accumulate(y: string, s: string, b: Lines): string;
  /** Declares `x<r>` from the value of each row; `value` gets the WGSL of the row's number within the tile. */
  forRows(x: string, value: (row: string) => string): string;
  /** Runs statements once for each `row` of the tile, by some lane. */
  eachRow(statements: string): string;
  /** Declares `x<r>`: the largest, or the sum, over all columns of what each lane has for the row. */
  fold(kind: "max" | "sum", x: string, mine: (r: number) => string): string;
  /** Calls `put` for the places of an accumulator that the lane writes: row and vec4 of the line. */
  store(y: string, put: (r: number, part: string, value: string) => string): string;
  /** WGSL condition of the one lane that writes what is one value a row. */
  writes(r: number): string;
}

export const range = (count: number): number[] => [...Array(count).keys()];
