import { DeviceError } from "../../errors.ts";
import { openGpu } from "./gpu.ts";
import { systemHint } from "./hints.ts";
import { openSwiftShader } from "./swiftShader.ts";

/** Whether software adapters (Vulkan on the CPU) may be taken, and whether the one for tests may be unpacked. */
export type AdapterOptions = {
  /** `false`: real GPUs only; `true`: software when there is no GPU; `"only"`: software even beside a GPU. */
  readonly allowSoftware: boolean | "only";
  /** Whether SwiftShader may be unpacked from the test dependency; `true` by default. */
  readonly swiftShader?: boolean;
};

/** Something that was looked at and not taken. */
export type Refusal = { readonly name: string; readonly why: string };

/** An adapter, unused, so that one device can be opened on it. */
export type FoundAdapter = {
  readonly adapter: GPUAdapter;
  readonly kind: "gpu" | "software";
  readonly name: string;
  /** Parts of WGSL that its compiler knows. */
  readonly language: ReadonlySet<string>;
  readonly why: string;
  readonly refused: readonly Refusal[];
};

/** How the search ended, for `graft doctor`, which must tell about failures as calmly as about successes. */
export type AdapterSearch = { readonly found?: FoundAdapter; readonly refused: readonly Refusal[] };

const forcedNames = ["swiftshader", "vulkan", "null"] as const;
type Forced = (typeof forcedNames)[number];

/**
 * The best adapter that is allowed: a real GPU, else an installed software Vulkan, else SwiftShader from the test
 * dependencies. The variable `GRAFT_ADAPTER` (`swiftshader`, `vulkan`, `null`) forces one whatever the options say.
 * `null` is Dawn's backend that computes nothing: it times our own overhead.
 */
export async function findAdapter(options: AdapterOptions): Promise<FoundAdapter> {
  const { found, refused } = await searchAdapters(options);
  if (found) return found;
  const reasons = refused.map(({ name, why }) => `${name}: ${why}`).join("; ");
  throw new DeviceError("device", `no WebGPU adapter was found. ${reasons}. ${remedy(options)}`);
}

/** As {@link findAdapter}, but finding nothing is an answer, not an error. */
export async function searchAdapters(options: AdapterOptions): Promise<AdapterSearch> {
  const forced = forcedAdapter();
  const refused: Refusal[] = [];
  const found = forced === undefined ? await searchAll(options, refused) : await openForced(forced, refused);
  return { found, refused };
}

async function searchAll(options: AdapterOptions, refused: Refusal[]): Promise<FoundAdapter | undefined> {
  const { allowSoftware } = options;
  const system = await openSystem(allowSoftware === "only");
  if (system === undefined) {
    refused.push({ name: "system", why: await systemHint() });
  } else if (system.kind === "gpu") {
    if (allowSoftware !== "only") return { ...system, why: "it is a GPU", refused };
    refused.push({ name: system.name, why: "it is a GPU, and only software was asked for" });
  } else if (allowSoftware === false) {
    refused.push({ name: system.name, why: "it computes on the CPU, slower than the CPU device does" });
  } else {
    const why = allowSoftware === "only" ? "software was asked for" : "no GPU was found; this is installed";
    return { ...system, why, refused };
  }
  if (allowSoftware === false) return undefined;
  if (options.swiftShader === false) {
    refused.push({ name: "SwiftShader", why: "it was not allowed" });
    return undefined;
  }
  return takeSwiftShader("no other adapter was found; it comes with the test dependencies", refused);
}

async function openForced(forced: Forced, refused: Refusal[]): Promise<FoundAdapter | undefined> {
  const why = `GRAFT_ADAPTER is ${forced}`;
  if (forced === "swiftshader") return takeSwiftShader(why, refused);
  const gpu = await openGpu([`backend=${forced}`]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return { ...identify(gpu, adapter), why, refused };
  refused.push({ name: forced, why: await systemHint() });
  return undefined;
}

async function openSystem(software: boolean): Promise<Identified | undefined> {
  const gpu = await openGpu([]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return undefined;
  const best = identify(gpu, adapter);
  if (!software || best.kind === "software") return best;
  // Only a second request may be this narrow: as the first, it keeps Dawn from seeing lavapipe at all.
  const fallback = await gpu.requestAdapter({ forceFallbackAdapter: true });
  return fallback ? identify(gpu, fallback) : best;
}

async function takeSwiftShader(why: string, refused: Refusal[]): Promise<FoundAdapter | undefined> {
  const opened = await openSwiftShader();
  if ("refused" in opened) {
    refused.push({ name: "SwiftShader", why: opened.refused });
    return undefined;
  }
  const adapter = await opened.gpu.requestAdapter();
  if (adapter) return { ...identify(opened.gpu, adapter), why, refused };
  refused.push({ name: "SwiftShader", why: "it was unpacked, but Dawn could not open it" });
  return undefined;
}

type Identified = Pick<FoundAdapter, "adapter" | "kind" | "name" | "language">;

// Some software adapters do not call themselves a fallback (WARP on Windows, Dawn's null backend), so their names
// are looked at too.
const softwareNames = /llvmpipe|lavapipe|swiftshader|basic render|softpipe|null-backend/i;

function identify(gpu: GPU, adapter: GPUAdapter): Identified {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = description || device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
  const words = [vendor, architecture, device, description].join(" ");
  const software = isFallbackAdapter || softwareNames.test(words);
  return { adapter, kind: software ? "software" : "gpu", name, language: gpu.wgslLanguageFeatures };
}

function forcedAdapter(): Forced | undefined {
  const value = process.env.GRAFT_ADAPTER;
  if (value === undefined || value === "") return undefined;
  const forced = forcedNames.find((name) => name === value);
  if (forced) return forced;
  throw new DeviceError("device", `GRAFT_ADAPTER must be one of ${forcedNames.join(", ")}, got "${value}".`);
}

function remedy({ allowSoftware }: AdapterOptions): string {
  if (allowSoftware === false) return 'Install the driver of the GPU, or use device "cpu".';
  return process.platform === "linux"
    ? "Install mesa-vulkan-drivers (version 23 or newer) for a software adapter; see docs/gpu-setup.md."
    : "See docs/gpu-setup.md.";
}
