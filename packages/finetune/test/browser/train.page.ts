// Runs in a page: loads a model over HTTP and trains an adapter, on the page's own GPU or without one.
import { loadFromHf } from "@graft/nn";
import { fetchSource, openSafetensors } from "@graft/nn/checkpoint";
import { type Device, openCpu, openWebGpu } from "@graft/tensor";
import { type Training, trainThreeSteps } from "./train.ts";

export interface PageTraining extends Training {
  /** Where the server has the model, `/packages/...`. */
  readonly folder: string;
}

/** What one device made of it. */
export interface PageLosses {
  /** The adapter's name, for people. */
  readonly name: string;
  readonly losses: readonly number[];
}

export default async function train(training: PageTraining): Promise<Record<"webgpu" | "cpu", PageLosses>> {
  return { webgpu: await trainOn(await openWebGpu(), training), cpu: await trainOn(openCpu(), training) };
}

async function trainOn(device: Device, { folder, ...training }: PageTraining): Promise<PageLosses> {
  const config: unknown = await (await fetch(`${folder}/config.json`)).json();
  const file = await openSafetensors(await fetchSource(`${folder}/model.safetensors`));
  const model = await loadFromHf(config, file, { device });
  const losses = await trainThreeSteps(model, training);
  device.close();
  return { name: device.name, losses };
}
