// TensorFlow.js on its WebGPU backend: https://github.com/tensorflow/tfjs. It has no compiled step: ops run one by one,
// and its packages for Node leave out the gradients (they are in files that only a bundler can load): products only.
import tf from "@tensorflow/tfjs-core";

/** @returns {Promise<import("../src/peers.ts").Peer>} */
export async function open(settle) {
  await import("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs found no WebGPU.");
  await tf.ready();
  const backend = tf.backend();
  let failure;
  backend.device.onuncapturederror = ({ error }) => {
    failure ??= new Error(`tfjs: ${error.message}`);
  };
  const finish = async () => {
    // What reading does first (`backend.read`), without the copy.
    backend.endComputePassEncoder();
    backend.submitQueue();
    await settle(backend.queue.onSubmittedWorkDone());
    if (failure) throw failure;
  };
  const array = ({ values, shape }) => tf.tensor(values, [...shape], "float32");

  return {
    name: "tfjs",
    version: tf.version_core,

    async matmul(a, b) {
      const [x, y] = [array(a), array(b)];
      let result;
      return {
        run() {
          result?.dispose();
          result = tf.matMul(x, y);
        },
        finish,
        result: async () => [...(await settle(result.data())).slice(0, 16)],
      };
    },
  };
}
