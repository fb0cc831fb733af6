import type { DoctorOptions } from "../args/options.ts";
import { type Diagnosis, diagnose } from "../diagnosis.ts";
import type { Output } from "../output.ts";

/** `graft doctor`: the device and why, how fast it is, and what would improve it. */
export async function runDoctor(options: DoctorOptions, output: Output): Promise<void> {
  const found = await diagnose(options.device);
  output.result(found, textOf(found));
}

function textOf({ device, why, refused, matmul, versions, advice }: Diagnosis): string {
  return [
    `device    ${device}: ${why}`,
    ...refused.map(({ name, why: reason }) => `refused   ${name}: ${reason}`),
    ...matmul.map(
      ({ device: name, gflops, size }) =>
        `speed     ${name}: ${gflops.toPrecision(3)} GFLOP/s (f32 matrices of ${size} × ${size})`,
    ),
    `versions  ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    `advice    ${advice}`,
  ].join("\n");
}
