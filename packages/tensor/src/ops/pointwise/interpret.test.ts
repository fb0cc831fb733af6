import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Expr } from "./expr.ts";
import { type Program, prepare, prepareFast } from "./interpret.ts";
import { type PrimitiveName, primitives } from "./primitives.ts";

const names = Object.keys(primitives) as PrimitiveName[]; // of a literal, so that there are no other keys

function run(program: Program, inputs: readonly (readonly number[])[]): number[] {
  const [{ length }] = inputs;
  const results: number[] = [];
  program.start(length, {});
  for (let start = 0; start < length; start += program.chunk) {
    const n = Math.min(program.chunk, length - start);
    inputs.forEach((values, k) => {
      program.inputs[k].set(values.slice(start, start + n));
    });
    results.push(...program.run(n).subarray(0, n));
  }
  return results;
}

/** Far below the rounding of f32; where the plain result is beyond f32 or subnormal in f64, any like it. */
function close(actual: number, exact: number): boolean {
  if (Object.is(actual, exact) || actual === exact) return true;
  if (Math.abs(exact) > 3e38) return actual / exact > 0.999 || Math.abs(actual) === Infinity;
  return Math.abs(actual - exact) <= 1e-12 * Math.abs(exact) + 1e-300;
}

function callOf(fn: PrimitiveName): Expr {
  const args: Expr[] = [0, 1, 2]
    .slice(0, primitives[fn].arity)
    .map((index) => ({ kind: "input", index, bool: false }));
  return { kind: "call", fn, args };
}

const edges = [0, -0, 1, -1, 0.5, 2.5, -2.5, 1e-30, 88.8, -104, 800, -800, Infinity, -Infinity, Number.NaN];
const value = fc.oneof(
  fc.constantFrom(...edges),
  fc.double({ min: -100, max: 100, noNaN: true }),
  fc.float({ noDefaultInfinity: true, noNaN: true }),
);

test.each(names)("%s in WebAssembly is the plain one", (fn) => {
  const call = callOf(fn);
  const plain = prepare(call, 3);
  const fast = prepareFast(call, 3);
  const check = (a: number[], b: number[], c: number[]): void => {
    const exact = run(plain, [a, b, c]);
    run(fast, [a, b, c]).forEach((actual, i) => {
      expect(close(actual, exact[i]), `${fn}(${a[i]}, ${b[i]}, ${c[i]}) = ${actual}, not ${exact[i]}`).toBe(
        true,
      );
    });
  };
  const pairs = edges.flatMap((a) => edges.map((b) => [a, b]));
  check(
    pairs.map(([a]) => a),
    pairs.map(([, b]) => b),
    pairs.map((_, i) => i),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value, value), { minLength: 1, maxLength: 1200 }), (rows) => {
      check(
        rows.map(([a]) => a),
        rows.map(([, b]) => b),
        rows.map(([, , c]) => c),
      );
    }),
    { numRuns: 15 },
  );
});

test("formulas with more values than there are slots run on plain loops", () => {
  let sum: Expr = { kind: "input", index: 0, bool: false };
  for (let i = 0; i < 100; i++)
    sum = { kind: "call", fn: "add", args: [sum, { kind: "const", value: i + 0.5 }] };
  expect(run(prepareFast(sum, 1), [[1, 2]])).toEqual([5001, 5002]);
});

test("the comparison notices an error of a millionth", () => {
  expect(close(1 + 1e-6, 1)).toBe(false);
  expect(close(Number.NaN, 1)).toBe(false);
});
