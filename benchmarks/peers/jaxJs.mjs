// jax-js on WebGPU: https://github.com/ekzhang/jax-js. A training step is one jitted function, as its guide advises.
// What is chosen where there was a choice is the fastest that was found; see README.md beside this file.
import { readFileSync } from "node:fs";
import {
  blockUntilReady,
  defaultDevice,
  getWebGPUDevice,
  init,
  jit,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
} from "@jax-js/jax";

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

/** @returns {Promise<import("../src/peers.ts").Peer>} */
export async function open(settle) {
  const found = await init("webgpu");
  if (!found.includes("webgpu")) throw new Error("jax-js found no WebGPU.");
  defaultDevice("webgpu");
  let failure;
  getWebGPUDevice().onuncapturederror = ({ error }) => {
    failure ??= new Error(`jax-js: ${error.message}`);
  };
  const finish = async (values) => {
    await settle(blockUntilReady(values));
    if (failure) throw failure;
  };
  const array = ({ values, shape }) => np.array(values, { shape: [...shape] });

  /** Runs `step(state, ...inputs) -> [loss, state]` again and again; jax-js consumes what it is given. */
  const training = (lossOf, problem, inputs) => {
    const { learningRate, betas, eps, weightDecay } = problem.adamW;
    const start = () => Object.fromEntries(Object.entries(problem.parameters).map(([k, v]) => [k, array(v)]));
    const step = jit((p0, m0, v0, t0, ...given) => {
      const [loss, gradients] = valueAndGrad(lossOf)(tree.ref(p0), ...given);
      const t = t0.add(1);
      const m = tree.map((a, g) => a.mul(betas[0]).add(g.ref.mul(1 - betas[0])), m0, gradients);
      const v = tree.map((a, g) => a.mul(betas[1]).add(np.square(g).mul(1 - betas[1])), v0, gradients);
      const c1 = np.subtract(1, np.power(betas[0], t.ref));
      const c2 = np.subtract(1, np.power(betas[1], t.ref));
      const next = tree.map(
        (p, a, b) =>
          p.mul(1 - learningRate * weightDecay).sub(
            a.ref
              .div(c1.ref)
              .div(np.sqrt(b.ref.div(c2.ref)).add(eps))
              .mul(learningRate),
          ),
        p0,
        m,
        v,
      );
      tree.dispose([c1, c2]);
      return [loss, next, m, v, t];
    });
    let params = start();
    let first = tree.map((p) => np.zerosLike(p.ref), params);
    let second = tree.map((p) => np.zerosLike(p.ref), params);
    let count = np.array(0);
    let loss;
    return {
      run() {
        loss?.dispose();
        [loss, params, first, second, count] = step(
          params,
          first,
          second,
          count,
          ...inputs.map((x) => x.ref),
        );
      },
      finish: () => finish([loss, params, first, second, count]),
      result: async () => [...(await settle(loss.ref.data()))],
    };
  };

  return {
    name: "jax-js",
    version: dependencies["@jax-js/jax"],

    async matmul(a, b) {
      const [x, y] = [array(a), array(b)];
      const product = jit((p, q) => np.matmul(p, q));
      let result;
      return {
        run() {
          result?.dispose();
          result = product(x.ref, y.ref);
        },
        finish: () => finish(result),
        result: async () => [...(await settle(result.ref.data())).slice(0, 16)],
      };
    },

    async mlpStep(problem) {
      const last = problem.sizes.length - 2;
      const lossOf = (p, input, target) => {
        let x = input;
        for (let i = 0; i <= last; i++) {
          x = np.matmul(x, np.matrixTranspose(p[`layers.${i}.weight`])).add(p[`layers.${i}.bias`]);
          if (i < last) x = nn.relu(x);
        }
        return np.mean(np.square(x.sub(target)));
      };
      return training(lossOf, problem, [array(problem.input), array(problem.target)]);
    },

    async gptStep(problem) {
      const { rows, length, width, heads, vocabulary, layers, layerNormEps } = problem;
      const norm = (x, p, name) => {
        const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
        const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
        const scaled = centred.mul(np.reciprocal(np.sqrt(variance.add(layerNormEps))));
        return scaled.mul(p[`${name}.weight`]).add(p[`${name}.bias`]);
      };
      const conv1D = (x, p, name) => np.matmul(x, p[`${name}.weight`]).add(p[`${name}.bias`]);
      const attention = (x, p, name) => {
        const parts = np.split(conv1D(x, p, `${name}.c_attn`), 3, -1);
        const [q, k, v] = parts.map((part) => part.reshape([rows, length, heads, width / heads]));
        const y = nn.dotProductAttention(q, k, v, { isCausal: true });
        return conv1D(y.reshape([rows, length, width]), p, `${name}.c_proj`);
      };
      const lossOf = (p, ids, targets) => {
        const table = p["transformer.wte.weight"];
        let x = np.take(table.ref, ids, 0).add(p["transformer.wpe.weight"]);
        for (let i = 0; i < layers; i++) {
          const name = `transformer.h.${i}`;
          x = x.ref.add(attention(norm(x, p, `${name}.ln_1`), p, `${name}.attn`));
          const inner = conv1D(norm(x.ref, p, `${name}.ln_2`), p, `${name}.mlp.c_fc`);
          x = x.add(conv1D(nn.gelu(inner, { approximate: true }), p, `${name}.mlp.c_proj`));
        }
        const logits = np.matmul(norm(x, p, "transformer.ln_f"), np.matrixTranspose(table));
        // takeAlongAxis has no gradient under jit in 0.1.25 ("scatter input is not imm").
        const chosen = np.sum(logits.ref.mul(nn.oneHot(targets, vocabulary)), -1);
        return np.mean(nn.logsumexp(logits, -1).sub(chosen));
      };
      const tokens = (values) => np.array(values, { shape: [rows, length], dtype: np.int32 });
      return training(lossOf, problem, [tokens(problem.ids), tokens(problem.targets)]);
    },
  };
}
