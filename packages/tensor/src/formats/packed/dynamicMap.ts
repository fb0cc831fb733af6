/** Values that share a nested scale. */
export const nestedBlockSize = 256;

/**
 * bitsandbytes' signed dynamic 8-bit map, ascending: for each exponent e = −6..0, 2^(e+6) fractions that divide
 * (0.1, 1) evenly, times ±10^e; also 0 and 1. Steps as in float32 there, so that all 256 values have the same bits.
 *
 * @see Dettmers et al. 2021, https://arxiv.org/abs/1511.04561 for the type; bitsandbytes `functional.py`, create_dynamic_map
 */
export const dynamicMap: Float32Array = createDynamicMap();

function createDynamicMap(): Float32Array {
  const { fround } = Math;
  const values = [0, 1];
  for (let exponent = -6; exponent <= 0; exponent++) {
    const intervals = 2 ** (exponent + 6);
    const factor = fround(10 ** exponent);
    const boundaries = linspace(fround(0.1), 1, intervals + 1);
    for (let i = 0; i < intervals; i++) {
      const mean = fround(fround(boundaries[i] + boundaries[i + 1]) / 2);
      values.push(fround(factor * mean), fround(-factor * mean));
    }
  }
  return Float32Array.from(values).sort();
}

// torch.linspace in float32: from both ends towards the middle, with fused multiply-add.
function linspace(start: number, end: number, steps: number): number[] {
  const { fround } = Math;
  const step = fround(fround(end - start) / (steps - 1));
  return Array.from({ length: steps }, (_, i) =>
    i < steps / 2 ? fround(start + step * i) : fround(end - step * (steps - i - 1)),
  );
}
