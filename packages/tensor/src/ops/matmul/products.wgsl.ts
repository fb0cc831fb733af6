import type { View } from "../../device/device.ts";
import { internal } from "../../errors.ts";
import type { Binding, GpuInfo, Kernel, Param } from "../kernel.ts";
import type { Form, Frame } from "./frame.ts";
import { type Along, declareOperands, keyOf, operandOf } from "./operand.ts";
import { isPacked, type Source, type Stored, storedOf } from "./reader.ts";
import { type Extent, type Tile, type TileClass, tileFor, workOf } from "./tiles.ts";

export interface TermView {
  readonly a: Source;
  readonly b: Source;
  readonly k: number;
}

/** Something that is added to a sum of products, with its strides. */
export interface Addend {
  readonly view: View;
  readonly row: number;
  readonly column: number;
}

/** One output of products as kernels see it. */
export interface MemberView {
  readonly m: number;
  readonly n: number;
  readonly scale: number;
  readonly terms: readonly TermView[];
  readonly addends: readonly Addend[];
  readonly y: View;
}

export interface Layout {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Storage buffers that a kernel may bind in WebGPU's default limits. */
const MOST_BINDINGS = 8;
/** Pairs of operands that a kernel has code for: each costs as much to compile as the first. */
const MOST_SECTIONS = 2;

/** Terms that one piece of code reads: their a lie in the same buffers, so do their b, and all can or cannot be read by fours. */
interface Section {
  readonly key: string;
  readonly bindings: number;
  readonly terms: readonly PlacedTerm[];
}

interface PlacedTerm {
  readonly a: Stored;
  readonly b: Stored;
  readonly k: number;
  readonly aligned: readonly [a: boolean, b: boolean];
}

/** A member, or a part of one, as a dispatch takes it. */
interface Piece {
  readonly m: number;
  readonly n: number;
  readonly scale: number;
  readonly sections: readonly Section[];
  readonly addends: readonly Addend[];
  readonly y: View;
  readonly yRow: number;
  readonly yColumn: number;
  /** How many pieces of its member come before: their sum is in y. */
  readonly level: number;
}

/**
 * The kernels of members: as few dispatches as bindings and code allow. Members share one where they have the same kind of tiles and
 * their matrices lie in the same buffers; terms that are too many are added in later dispatches.
 */
export function productsKernels(
  members: readonly MemberView[],
  { transposeA, transposeB }: Layout,
  gpu: GpuInfo,
  forced?: TileClass,
): Kernel[] {
  const alongA: Along = transposeA ? "lines" : "k";
  const alongB: Along = transposeB ? "k" : "lines";
  const real = members.filter(({ m, n }) => m * n > 0);
  const extents = real.map(({ m, n, terms }) => {
    const k = terms.reduce((all, term) => all + term.k, 0);
    const packed = terms.some(({ a, b }) => isPacked(a) || isPacked(b));
    return { m, n, k, matrices: 1, alongA, alongB, packed };
  });
  const work = extents.reduce((all, extent) => all + workOf(extent), 0);
  const batches: Batch[] = [];
  real.forEach((member, i) => {
    const tile = tileFor(extents[i], gpu, forced, work);
    const swaps = tile.swaps(extents[i]);
    const extent = swaps ? swappedExtent(extents[i]) : extents[i];
    const along: [Along, Along] = [extent.alongA, extent.alongB];
    for (const piece of piecesOf(swaps ? swapped(member) : member, swaps, along)) {
      const kind = `${tile.name}${tile.rows(extent)}${along}`;
      let batch = batches.find((each) => each.kind === kind && each.takes(piece));
      if (batch === undefined) {
        batch = new Batch(kind, tile, along, piece.level);
        batches.push(batch);
      }
      batch.add(piece, { ...extent, m: piece.m, n: piece.n });
    }
  });
  // A piece comes after the one that it adds to.
  return batches.sort((one, other) => one.level - other.level).map((batch) => batch.kernel(gpu));
}

const swappedExtent = (extent: Extent): Extent => ({
  ...extent,
  m: extent.n,
  n: extent.m,
  alongA: extent.alongB,
  alongB: extent.alongA,
});

/** yᵀ = bᵀ·aᵀ: the same sum with rows for columns. */
const swapped = (member: MemberView): MemberView => ({
  ...member,
  m: member.n,
  n: member.m,
  terms: member.terms.map(({ a, b, k }) => ({ a: b, b: a, k })),
  addends: member.addends.map(({ view, row, column }) => ({ view, row: column, column: row })),
});

function piecesOf(member: MemberView, swaps: boolean, [alongA, alongB]: [Along, Along]): Piece[] {
  const { m, n, scale, addends, y } = member;
  const sections: { key: string; bindings: number; terms: PlacedTerm[] }[] = [];
  for (const term of member.terms) {
    if (term.k === 0) continue;
    const a = storedOf(term.a);
    const b = storedOf(term.b);
    const aligned = [
      (alongA === "k" ? term.k : m) % 4 === 0 && (a.place?.start ?? 0) % 4 === 0,
      (alongB === "k" ? term.k : n) % 4 === 0 && (b.place?.start ?? 0) % 4 === 0,
    ] as const;
    const key = `${placeOf(a)}|${placeOf(b)}|${aligned}`;
    const known = sections.find((section) => section.key === key);
    const placed = { a, b, k: term.k, aligned };
    if (known !== undefined) known.terms.push(placed);
    else sections.push({ key, bindings: bindingsOf(a) + bindingsOf(b), terms: [placed] });
  }
  const shared = { m, n, scale, y, yRow: swaps ? 1 : n, yColumn: swaps ? m : 1 };
  const pieces: Piece[] = [];
  let own: Section[] = [];
  let added = [...addends];
  const close = () => {
    pieces.push({ ...shared, sections: own, addends: added, level: pieces.length });
    own = [];
    added = [];
  };
  for (const section of sections) {
    if (bindingsFor([...own, section], added.length) > MOST_BINDINGS || own.length === MOST_SECTIONS) close();
    own.push(section);
  }
  if (own.length > 0 || pieces.length === 0) close();
  return pieces;
}

/** The table, y, and what is read. */
const bindingsFor = (sections: readonly { readonly bindings: number }[], addends: number): number =>
  sections.reduce((all, { bindings }) => all + bindings, 2 + addends);

let places = 0;
const numbers = new WeakMap<object, number>();

/** Names an object, for keys. */
function numberOf(object: object): number {
  let number = numbers.get(object);
  if (number === undefined) {
    number = places++;
    numbers.set(object, number);
  }
  return number;
}

const placeOf = ({ place, ...stored }: Stored): string =>
  place === undefined ? `${numberOf(stored)}` : `${place.format}${place.buffers.map(numberOf)}`;

const bindingsOf = (stored: Stored): number => stored.read("x", false, 0).bindings.length;

const startOf = (stored: Stored): number => stored.place?.start ?? 0;

/** The one of some matrices in the same buffers that lies first. */
const firstOf = (all: readonly Stored[]): Stored =>
  all.reduce((first, stored) => (startOf(stored) < startOf(first) ? stored : first));

/** The pieces of one dispatch. */
class Batch {
  readonly kind: string;
  readonly level: number;
  readonly #tile: Tile;
  readonly #along: readonly [Along, Along];
  readonly #pieces: Piece[] = [];
  readonly #extents: Extent[] = [];
  #sections = new Map<string, Section>();

  constructor(kind: string, tile: Tile, along: readonly [Along, Along], level: number) {
    this.kind = kind;
    this.level = level;
    this.#tile = tile;
    this.#along = along;
  }

  /** Whether a piece has its matrices where those of the others are. */
  takes(piece: Piece): boolean {
    const [first] = this.#pieces;
    if (piece.level !== this.level || piece.y.storage !== first.y.storage) return false;
    const addends = Math.max(first.addends.length, piece.addends.length);
    const merged = this.#merged(piece);
    return (
      merged.size <= MOST_SECTIONS &&
      bindingsFor([...merged.values()], addends) <= MOST_BINDINGS &&
      this.#pieces.every((each) =>
        each.addends.every(
          ({ view }, i) =>
            i >= piece.addends.length ||
            (view.storage === piece.addends[i].view.storage && view.dtype === piece.addends[i].view.dtype),
        ),
      )
    );
  }

  add(piece: Piece, extent: Extent): void {
    this.#sections = this.#merged(piece);
    this.#pieces.push(piece);
    this.#extents.push(extent);
  }

  #merged(piece: Piece): Map<string, Section> {
    const merged = new Map(this.#sections);
    for (const section of piece.sections) {
      const known = merged.get(section.key);
      merged.set(
        section.key,
        known === undefined ? section : { ...known, terms: [...known.terms, ...section.terms] },
      );
    }
    return merged;
  }

  kernel(gpu: GpuInfo): Kernel {
    const form = this.#tile.form(this.#extents, gpu);
    return this.#tile.kernel(this.#frame(form, gpu), form);
  }

  /**
   * A table says which tiles belong to which sum, and which products are in it, so that the code is the same for any number of both.
   * Rows of four words: for each sum `SIZES`, `TERMS`, `Y` and one for each addend, then the terms.
   */
  #frame(form: Form, gpu: GpuInfo): Frame {
    const [alongA, alongB] = this.#along;
    const single = form.single === true;
    const sections = [...this.#sections.values()].map(({ key: place, terms }, s) => {
      const [a, b] = [firstOf(terms.map((term) => term.a)), firstOf(terms.map((term) => term.b))];
      const [fourA, fourB] = terms[0].aligned;
      return {
        place,
        a: operandOf("a", `a${s}`, a, alongA, fourA && !single, form.lanes),
        b: operandOf("b", `b${s}`, b, alongB, fourB && !single, form.lanes),
        startA: startOf(a),
        startB: startOf(b),
      };
    });
    const most = Math.max(...this.#pieces.map((piece) => piece.addends.length));
    const addends = [...Array(most).keys()].map((i) =>
      firstView(this.#pieces.flatMap((piece) => piece.addends.slice(i, i + 1).map((addend) => addend.view))),
    );
    const y = firstView(this.#pieces.map((piece) => piece.y));

    const perMember = 3 + most;
    const heads: number[] = [];
    const rows: number[] = [];
    let tiles = 0;
    for (const piece of this.#pieces) {
      const tilesM = Math.ceil(piece.m / form.rows);
      const start = tiles;
      tiles += tilesM * Math.ceil(piece.n / form.columns);
      const ends: number[] = [];
      const first = this.#pieces.length * perMember + rows.length / 4;
      for (const section of sections) {
        const own = piece.sections.find(({ key }) => key === section.place);
        for (const { a, b, k } of own?.terms ?? [])
          rows.push(k, startOf(a) - section.startA, startOf(b) - section.startB, 0);
        ends.push(this.#pieces.length * perMember + rows.length / 4);
      }
      heads.push(tiles, start, tilesM, bitsOf(piece.scale));
      heads.push(piece.m, piece.n, first, ends[0] ?? first);
      heads.push(ends[1] ?? ends[0] ?? first, piece.y.offset - y.offset, piece.yRow, piece.yColumn);
      for (let i = 0; i < most; i++) {
        const addend = piece.addends[i];
        if (addend === undefined) heads.push(0, 0, 0, 0);
        else heads.push(addend.view.offset - addends[i].offset, addend.row, addend.column, 1);
      }
    }
    const adds = this.level > 0;
    const operands = sections.flatMap(({ a, b }) => [a, b]);
    const readers = operands.map(({ reader }) => reader);
    const bindings: Binding[] = [
      { name: "table", view: gpu.constants([...heads, ...rows]), access: "read", as: "vec4" },
      ...readers.flatMap((reader) => reader.bindings),
      ...addends.map((view, i): Binding => ({ name: `more${i}`, view, access: "read" })),
      { name: "y", view: y, access: adds ? "update" : "write" },
    ];
    if (bindings.length > MOST_BINDINGS)
      throw internal(
        `products needs ${bindings.length} buffers at once, at most ${MOST_BINDINGS} can be bound`,
      );
    const params: Param[] = [["members", "u32", this.#pieces.length]];
    if (single)
      params.push(
        ["a_lines", "u32", alongA === "lines" ? 1 : 0],
        ["b_lines", "u32", alongB === "lines" ? 1 : 0],
      );
    params.push(...readers.flatMap((reader) => reader.params ?? []));
    const strides = single
      ? `let a_row = select(k, 1u, P.a_lines != 0u); let a_col = select(1u, m, P.a_lines != 0u); let b_row = select(1u, n, P.b_lines != 0u); let b_col = select(k, 1u, P.b_lines != 0u);`
      : `let a_stride = ${alongA === "k" ? "k" : "m"}; let b_stride = ${alongB === "k" ? "k" : "n"};`;
    const layout = single ? readers.map((reader) => reader.key) : operands.map(keyOf);
    // The code of a dispatch without any product still depends on how its lanes lie.
    const code = `products${layout.join("") || `${alongA[0]}${alongB[0]}`}+${most}${adds ? "y" : ""}`;
    return {
      key: code,
      bindings,
      params,
      tiles,
      alongA,
      alongB,
      declare: (steps) =>
        single
          ? readers.map((reader) => reader.declare()).join("\n")
          : sections.map(({ a, b }) => declareOperands([a, b], steps)).join("\n"),
      head: `${readers.map(({ setup = "" }) => setup).join("")}var member = 0u;
  for (var high = P.members - 1u; member < high;) {
    let middle = (member + high) / 2u;
    if (group < table_at4(middle * ${perMember}u).x) { high = middle; } else { member = middle + 1u; }
  }
  let sizes = table_at4(member * ${perMember}u);
  let terms = table_at4(member * ${perMember}u + 1u);
  let place = table_at4(member * ${perMember}u + 2u);
  ${addends.map((_, i) => `let place${i} = table_at4(member * ${perMember}u + ${3 + i}u);`).join(" ")}
  let m = terms.x; let n = terms.y; let scale = bitcast<f32>(sizes.w);
  let tile_m = (group - sizes.y) % sizes.z;
  let tile_n = (group - sizes.y) / sizes.z;`,
      sum: (product) =>
        sections
          .map(
            (
              { a, b },
              s,
            ) => `for (var t = ${s === 0 ? "terms.z" : "terms.w"}; t < ${s === 0 ? "terms.w" : "place.x"}; t++) {
    let term = table_at4(t); let k = term.x; let a_base = term.y; let b_base = term.z;
    ${strides}
    ${product(a, b)}
  }`,
          )
          .join("\n  "),
      put(row, column, step, values) {
        const names = values.map((_, j) => `v${j}`);
        const columns = names.map((_, j) => `let c${j} = ${column} + ${j * step}u;`);
        const more = addends.map(
          (_, i) =>
            `if (place${i}.w != 0u) { let start = place${i}.x + line * place${i}.y; ${names
              .map((v, j) => `${v} += more${i}_at(start + min(c${j}, n - 1u) * place${i}.z);`)
              .join(" ")} }`,
        );
        const stores = names.map((v, j) => {
          const at = `to + c${j} * place.w`;
          return `if (c${j} < n) { y_put(${at}, ${v}${adds ? ` + y_at(${at})` : ""}); }`;
        });
        return `{ let line = ${row}; let to = place.y + line * place.z; ${columns.join(" ")} ${names
          .map((v, j) => `${addends.length > 0 ? "var" : "let"} ${v} = ${values[j]} * scale;`)
          .join(" ")} ${more.join(" ")} ${stores.join(" ")} }`;
      },
    };
  }
}

const firstView = (views: readonly View[]): View =>
  views.reduce((first, view) => (view.offset < first.offset ? view : first));

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

function bitsOf(value: number): number {
  floats[0] = value;
  return words[0];
}
