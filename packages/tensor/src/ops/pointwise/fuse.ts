import { Links, type Pass } from "../../compile/links.ts";
import { isLive } from "../../compile/live.ts";
import type { Run } from "../../compile/trace.ts";
import type { View } from "../../device/device.ts";
import { type DType, isFloat } from "../../dtype.ts";
import { internal } from "../../errors.ts";
import { sameShape, sizeOf } from "../../shape.ts";
import type { CpuArray, Op } from "../op.ts";
import { type Expr, substitute, textOf } from "./expr.ts";
import { type Params, pointwiseKernel } from "./pointwise.ts";

/** Storage buffers that any WebGPU device lets a kernel bind. */
const MOST_BINDINGS = 8;

/** Runs that become one kernel, with their places. */
interface Cluster {
  readonly members: number[];
}

/**
 * Makes one run of pointwise runs over one shape that feed each other, with an output for each value that somebody else reads.
 * The numbers are those of the single kernels but for roundings that a compiler saves.
 */
export const fusePointwise: Pass = (runs, leaving) => {
  const links = new Links(runs, leaving);
  const clusterOf = new Map<number, Cluster>();
  runs.forEach((run, at) => {
    if (!isFusible(run)) return;
    let own: Cluster = { members: [at] };
    const near = new Set<Cluster>();
    for (const input of run.inputs) {
      const producer = links.producerOf(input);
      const cluster = producer === undefined ? undefined : clusterOf.get(producer);
      if (cluster !== undefined) near.add(cluster);
    }
    for (const cluster of near) {
      const joined: Cluster = { members: [...cluster.members, ...own.members].sort((a, b) => a - b) };
      if (canJoin(joined, runs, links)) own = joined;
    }
    for (const member of own.members) clusterOf.set(member, own);
  });
  const result: Run[] = [];
  runs.forEach((run, at) => {
    const cluster = clusterOf.get(at);
    if (cluster === undefined || cluster.members.length === 1) result.push(run);
    else if (at === cluster.members[cluster.members.length - 1]) result.push(fuse(cluster, runs, links));
  });
  return result;
};

function isFusible({ op, attrs, inputs, outputs: [out] }: Run): boolean {
  return (
    op.formula !== undefined &&
    !isLive(attrs as Params) && // formulas have params only
    out.dtype === "f32" &&
    sizeOf(out.shape) > 0 &&
    inputs.every(({ dtype }) => dtype === "bool" || isFloat(dtype))
  );
}

/** The inputs that come from outside, each view once, and the outputs that others read. */
function bordersOf(
  { members }: Cluster,
  runs: readonly Run[],
  links: Links,
): { inputs: View[]; outputs: View[] } {
  const own = new Set(members);
  const inputs: View[] = [];
  const outputs: View[] = [];
  for (const at of members) {
    for (const input of runs[at].inputs) {
      const producer = links.producerOf(input);
      if (producer !== undefined && own.has(producer)) continue;
      if (!inputs.some((other) => sameView(other, input))) inputs.push(input);
    }
    const [out] = runs[at].outputs;
    if (links.isSeen(out.storage) || links.readersOf(out.storage).some((reader) => !own.has(reader)))
      outputs.push(out);
  }
  return { inputs, outputs };
}

function canJoin(cluster: Cluster, runs: readonly Run[], links: Links): boolean {
  const { members } = cluster;
  const own = new Set(members);
  const last = members[members.length - 1];
  const [{ shape }] = runs[last].outputs;
  const { inputs, outputs } = bordersOf(cluster, runs, links);
  return (
    inputs.length + outputs.length <= MOST_BINDINGS &&
    members.every((at) => {
      const run = runs[at];
      const [out] = run.outputs;
      return (
        sameShape(out.shape, shape) &&
        // What others read is there in time, and what it reads has not changed until the last member's place.
        links.readersOf(out.storage).every((reader) => own.has(reader) || reader > last) &&
        run.inputs.every((input) => links.isStable(input, at, last) && isWhole(input, own, links, runs))
      );
    })
  );
}

/** An input that a member makes must be that value, as it is: no part of it, not broadcast, and never changed. */
function isWhole(input: View, own: ReadonlySet<number>, links: Links, runs: readonly Run[]): boolean {
  const producer = links.producerOf(input);
  if (producer === undefined) return links.writersOf(input.storage).every((writer) => !own.has(writer));
  if (!own.has(producer)) return true;
  const [out] = runs[producer].outputs;
  return input.offset === out.offset && sameShape(input.shape, out.shape);
}

const sameView = (a: View, b: View): boolean =>
  a.storage === b.storage && a.offset === b.offset && a.dtype === b.dtype && sameShape(a.shape, b.shape);

function fuse(cluster: Cluster, runs: readonly Run[], links: Links): Run {
  const { inputs, outputs } = bordersOf(cluster, runs, links);
  const values = new Map<number, Expr>();
  const leaves = inputs.map(({ dtype }, index): Expr => ({ kind: "input", index, bool: dtype === "bool" }));
  const params: Record<string, number> = {};
  for (const [m, at] of cluster.members.entries()) {
    const { op, attrs, inputs: views } = runs[at];
    const given = views.map((view) => {
      const producer = links.producerOf(view);
      const inner = producer === undefined ? undefined : values.get(producer);
      return inner ?? leaves[inputs.findIndex((other) => sameView(other, view))];
    });
    for (const [name, value] of Object.entries(attrs as Params)) params[`m${m}_${name}`] = value; // formulas have params only
    if (op.formula === undefined) throw internal(`${op.name} has no formula`);
    values.set(
      at,
      substitute(op.formula, (leaf) =>
        leaf.kind === "input" ? given[leaf.index] : { kind: "param", name: `m${m}_${leaf.name}` },
      ),
    );
  }
  const places = cluster.members.filter((at) => outputs.includes(runs[at].outputs[0]));
  const bodies = places.flatMap((at) => values.get(at) ?? []);
  const names = [...new Set(cluster.members.map((at) => runs[at].op.name))];
  const op: Op<Params> = {
    name: names.join("+"),
    infer: () => outputs,
    cpu: (arrays, outs, _, context) => {
      runInTurn(
        cluster.members.map((at) => runs[at]),
        inputs,
        outputs,
        arrays,
        outs,
        context,
      );
    },
    wgsl: (views, outs) => [pointwiseKernel(textOf(...bodies), bodies, views, outs, params)],
    gradient: "none: it was fused after differentiation",
    flops: () =>
      cluster.members.reduce((sum, at) => {
        const { op: member, inputs: ins, outputs: outs, attrs } = runs[at];
        return sum + (member.flops?.(ins, outs, attrs) ?? sizeOf(outs[0].shape));
      }, 0),
  };
  return { op: op as Op<unknown>, attrs: params, inputs, outputs };
}

/** The members one after the other, as the CPU does them best. */
function runInTurn(
  members: readonly Run[],
  inputs: readonly View[],
  outputs: readonly View[],
  arrays: readonly CpuArray[],
  outs: readonly CpuArray[],
  context: Parameters<NonNullable<Op<unknown>["cpu"]>>[3],
): void {
  const made = new Map<View["storage"], CpuArray>();
  for (const {
    op,
    attrs,
    inputs: views,
    outputs: [out],
  } of members) {
    const at = outputs.indexOf(out);
    const target = at >= 0 ? outs[at] : temporary(out);
    const given = views.map(
      (view) => made.get(view.storage) ?? arrays[inputs.findIndex((other) => sameView(other, view))],
    );
    op.cpu?.(given, [target], attrs, context);
    made.set(out.storage, target);
  }
}

function temporary({ shape, dtype }: { shape: readonly number[]; dtype: DType }): CpuArray {
  return { shape, dtype, data: new Float32Array(sizeOf(shape)) };
}
