// Times of the CPU device's kernels: node benchmarks/cpu.mjs (after npm run setup). The best of several rounds, the
// kinds in turn in every round, so that a slow spell of the machine hits all of them.
import {
  fromArray,
  matmul,
  mul,
  noGrad,
  openCpu,
  scope,
  silu,
  softmax,
} from "../packages/tensor/dist/index.js";

const fast = openCpu();
const plain = openCpu({ kernels: "reference" });
const random = (device, dims) =>
  fromArray(
    device,
    Float32Array.from({ length: dims.reduce((p, d) => p * d, 1) }, () => Math.random() - 0.5),
    dims,
  );

/** The shortest time of each of `runs` in milliseconds; what takes long runs fewer times. */
function best(runs, rounds) {
  const times = runs.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    runs.forEach((run, i) => {
      if (times[i] * round > 2000) return;
      const start = performance.now();
      scope(() => {
        noGrad(() => {
          run();
        });
      });
      times[i] = Math.min(times[i], performance.now() - start);
    });
  }
  return times;
}

console.log("matmul, GFLOP/s     fast  reference");
for (const [m, n, k, batch] of [
  [128, 1536, 576, []],
  [64, 480, 160, []],
  [256, 2048, 160, []],
  [256, 256, 32, [10]],
  [256, 32, 256, [10]],
  [1, 1536, 576, []],
]) {
  for (const [name, transposeA, transposeB] of [
    ["NT", false, true],
    ["NN", false, false],
    ["TN", true, false],
  ]) {
    const runs = [fast, plain].map((device) => {
      const a = random(device, [...batch, ...(transposeA ? [k, m] : [m, k])]);
      const b = random(device, [...batch, ...(transposeB ? [n, k] : [k, n])]);
      return () => matmul(a, b, { transposeA, transposeB });
    });
    const work = (2 * m * n * k * (batch[0] ?? 1)) / 1e6;
    const rates = best(runs, 40).map((ms) => (work / ms).toFixed(1).padStart(9));
    console.log(`${name} ${`${[...batch, m].join(" x ")} x ${n} x ${k}`.padEnd(20)}${rates.join("")}`);
  }
}

console.log("\nelementwise, ns a value     fast  reference");
const shape = [512, 480];
for (const [name, run] of [
  ["mul", (x) => mul(x, x)],
  ["silu", (x) => silu(x)],
  ["softmax", (x) => softmax(x)],
]) {
  const inputs = [fast, plain].map((device) => random(device, shape));
  const times = best(
    inputs.map((x) => () => run(x)),
    40,
  );
  console.log(
    `${name.padEnd(24)}${times.map((ms) => ((ms * 1e6) / (shape[0] * shape[1])).toFixed(1).padStart(8)).join("")}`,
  );
}
