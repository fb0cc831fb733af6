import type { Module } from "@graft/nn";
import { display, LoraError, listed, quote } from "./errors.ts";
import { compilePattern } from "./pattern.ts";

/** Chooses layers of a model of your own: true for those to adapt. Only layers that act as x·Wᵀ + b are asked about. */
export type ModulePredicate = (path: string, module: Module) => boolean;

/** What PEFT's `task_type` may be. Written to the file and otherwise not used. */
export const taskTypes = [
  "CAUSAL_LM",
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
] as const;

export type TaskType = (typeof taskTypes)[number];

/**
 * How the factors start. `true`: A as a linear layer of PyTorch (uniform within 1/√inFeatures), B zero, so that nothing
 * changes at first. `"gaussian"`: A normal with deviation 1/rank, B zero. `false`: both random, for tests.
 */
export type LoraInit = boolean | "gaussian";

/** An adapter's configuration, checked. PEFT's `LoraConfig` in camelCase; made by `loraConfig` or `fromPeftConfig`. */
export interface LoraConfig {
  /** Rows of A and columns of B; PEFT's `r`. */
  readonly rank: number;
  /** The update is scaled by alpha / rank (alpha / √rank with `useRslora`). */
  readonly alpha: number;
  /** Probability with which a value of the adapter's input is dropped while training. */
  readonly dropout: number;
  /**
   * Names (`"q_proj"`, whole paths, or their ends after a dot), `"all-linear"` (every linear layer but the output head),
   * another string (a regular expression for the whole path), or a function. Undefined: the architecture's default.
   */
  readonly targetModules: readonly string[] | string | ModulePredicate | undefined;
  /** Names or a regular expression of what is left out; stronger than `targetModules`. */
  readonly excludeModules: readonly string[] | string | undefined;
  /** Only layers with these numbers, where `targetModules` is a list and its entry is not the whole path. */
  readonly layersToTransform: readonly number[] | undefined;
  /** Names of the lists in which `layersToTransform` counts, for example `"layers"`. Default: any. */
  readonly layersPattern: readonly string[] | undefined;
  /** Other ranks by the ends of paths (regular expressions); the first that matches wins. */
  readonly rankPattern: ReadonlyMap<string, number>;
  /** Other alphas, as `rankPattern`. */
  readonly alphaPattern: ReadonlyMap<string, number>;
  /** Biases are never trained. */
  readonly bias: "none";
  /** Rank-stabilised: scaled by alpha / √rank. @see Kalajdzievski 2023, https://arxiv.org/abs/2312.03732 */
  readonly useRslora: boolean;
  readonly initLoraWeights: LoraInit;
  readonly taskType: TaskType | undefined;
  /** Where the base came from, for readers. Never opened or run. */
  readonly baseModelNameOrPath: string | undefined;
  readonly revision: string | undefined;
}

type Patterns = Readonly<Record<string, number>> | ReadonlyMap<string, number>;

/** `LoraConfig` as it is asked for: everything has a default. */
export interface LoraOptions extends Partial<Omit<LoraConfig, "rankPattern" | "alphaPattern">> {
  readonly rankPattern?: Patterns;
  readonly alphaPattern?: Patterns;
}

/** Far above every published adapter; they keep a broken file from asking for all memory. */
export const loraLimits = { rank: 4096, names: 10_000, nameLength: 2000 } as const;

/**
 * Fills in PEFT's defaults (rank 8, alpha 8, no dropout) and checks everything.
 *
 * @throws LoraError with all problems at once
 */
export function loraConfig(options: LoraOptions = {}, who = "loraConfig"): LoraConfig {
  const config: LoraConfig = {
    rank: options.rank ?? 8,
    alpha: options.alpha ?? 8,
    dropout: options.dropout ?? 0,
    targetModules: options.targetModules,
    excludeModules: emptyAsNone(options.excludeModules),
    layersToTransform: emptyAsNone(options.layersToTransform),
    layersPattern: emptyAsNone(options.layersPattern),
    rankPattern: entriesOf(options.rankPattern),
    alphaPattern: entriesOf(options.alphaPattern),
    bias: options.bias ?? "none",
    useRslora: options.useRslora ?? false,
    initLoraWeights: options.initLoraWeights ?? true,
    taskType: options.taskType,
    baseModelNameOrPath: options.baseModelNameOrPath,
    revision: options.revision,
  };
  const problems = problemsOf(config);
  if (problems.length > 0) throw new LoraError(who, listed(problems));
  return config;
}

/** The rank, alpha and scaling of one layer, after the patterns. */
export function shapeAt(
  config: LoraConfig,
  path: string,
): { readonly rank: number; readonly alpha: number; readonly scaling: number } {
  const rank = patternValue(config.rankPattern, path) ?? config.rank;
  const alpha = patternValue(config.alphaPattern, path) ?? config.alpha;
  return { rank, alpha, scaling: alpha / (config.useRslora ? Math.sqrt(rank) : rank) };
}

/** PEFT matches these with `(.*\.)?(key)$`. */
function patternValue(patterns: ReadonlyMap<string, number>, path: string): number | undefined {
  for (const [key, value] of patterns) if (compilePattern(`(?:.*\\.)?(?:${key})`)(path)) return value;
  return undefined;
}

function emptyAsNone<T extends readonly unknown[] | string>(value: T | undefined): T | undefined {
  return value === undefined || value.length === 0 ? undefined : value;
}

function entriesOf(patterns: Patterns = {}): ReadonlyMap<string, number> {
  return patterns instanceof Map ? new Map(patterns) : new Map(Object.entries(patterns));
}

function problemsOf(config: LoraConfig): string[] {
  const problems: string[] = [];
  const check = (holds: boolean, name: string, expected: string, got: unknown): void => {
    if (!holds) problems.push(`${name} must be ${expected}, got ${display(got)}`);
  };
  const rankText = `a whole number from 1 to ${loraLimits.rank}`;
  check(isRank(config.rank), "rank", rankText, config.rank);
  check(isAlpha(config.alpha), "alpha", "a finite number above 0", config.alpha);
  check(
    isNumber(config.dropout) && config.dropout >= 0 && config.dropout < 1,
    "dropout",
    "in [0, 1)",
    config.dropout,
  );
  check(config.bias === "none", "bias", '"none"', config.bias);
  check(typeof config.useRslora === "boolean", "useRslora", "true or false", config.useRslora);
  const { initLoraWeights: init } = config;
  check(
    typeof init === "boolean" || init === "gaussian",
    "initLoraWeights",
    'true, false or "gaussian"',
    init,
  );
  check(
    config.taskType === undefined || taskTypes.includes(config.taskType),
    "taskType",
    `one of ${taskTypes.join(", ")}`,
    config.taskType,
  );
  for (const name of ["baseModelNameOrPath", "revision"] as const)
    check(config[name] === undefined || typeof config[name] === "string", name, "text", config[name]);

  for (const [key, value] of config.rankPattern) {
    check(isRank(value), `rankPattern ${quote(key)}`, rankText, value);
    checkPattern(`rankPattern ${quote(key)}`, key, problems);
  }
  for (const [key, value] of config.alphaPattern) {
    check(isAlpha(value), `alphaPattern ${quote(key)}`, "a finite number above 0", value);
    checkPattern(`alphaPattern ${quote(key)}`, key, problems);
  }
  checkSelection(config, problems, check);
  return problems;
}

function checkSelection(
  config: LoraConfig,
  problems: string[],
  check: (holds: boolean, name: string, expected: string, got: unknown) => void,
): void {
  const { targetModules: target, excludeModules: exclude, layersToTransform: layers, layersPattern } = config;
  const isTarget = target === undefined || typeof target === "function" || typeof target === "string";
  check(
    isTarget || isNames(target),
    "targetModules",
    'a list of names, "all-linear", a pattern or a function',
    target,
  );
  if (Array.isArray(target)) check(target.length > 0, "targetModules", "at least one name", target);
  if (typeof target === "string" && !isAllLinear(target)) checkPattern("targetModules", target, problems);
  check(
    exclude === undefined || typeof exclude === "string" || isNames(exclude),
    "excludeModules",
    "a list of names or a pattern",
    exclude,
  );
  if (typeof exclude === "string") checkPattern("excludeModules", exclude, problems);

  check(
    layers === undefined || (Array.isArray(layers) && layers.every((i) => Number.isSafeInteger(i) && i >= 0)),
    "layersToTransform",
    "a list of whole numbers from 0",
    layers,
  );
  check(
    layersPattern === undefined ||
      (isNames(layersPattern) && layersPattern.every((name) => /^[\w-]+$/.test(name))),
    "layersPattern",
    "a list of plain names (no regular expressions)",
    layersPattern,
  );
  if (layersPattern !== undefined && layers === undefined)
    problems.push("layersPattern must come with layersToTransform, got it alone");
  if (typeof target === "string" || typeof target === "function") {
    for (const name of ["layersToTransform", "layersPattern"] as const)
      check(config[name] === undefined, name, "left out unless targetModules is a list", config[name]);
  }
}

export function isAllLinear(target: LoraConfig["targetModules"]): boolean {
  return typeof target === "string" && target.toLowerCase() === "all-linear";
}

function checkPattern(name: string, source: string, problems: string[]): void {
  try {
    compilePattern(source);
  } catch (error) {
    problems.push(
      `${name} must be a regular expression of the supported kind, got ${quote(source)}, which ${error instanceof Error ? error.message : error}`,
    );
  }
}

function isNames(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= loraLimits.names &&
    value.every((name) => typeof name === "string" && name !== "" && name.length <= loraLimits.nameLength)
  );
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isRank(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= loraLimits.rank;
}

function isAlpha(value: unknown): boolean {
  return isNumber(value) && value > 0;
}
