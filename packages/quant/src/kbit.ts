import { type Module, Parameter } from "@graft/nn";
import { cast, noGrad, scope, structureChanged } from "@graft/tensor";

export interface PrepareOptions {
  /** Parameters that stay as they are stored, by the ends of their names, for example `["embed_tokens.weight"]`. Default: none. */
  readonly keep?: readonly string[];
  /** Sets `gradientCheckpointing` of every block that offers it: memory for time. Default true. */
  readonly gradientCheckpointing?: boolean;
}

/** What `prepareForKbitTraining` did. */
export interface PrepareReport {
  /** Names of the parameters that are f32 now and were f16 or bf16. */
  readonly widened: readonly string[];
}

/**
 * Makes a quantized model ready for adapters, as PEFT's `prepare_model_for_kbit_training`: freezes every parameter and widens
 * those of 16 bits that are not packed (norms, embedding, head) to f32, in place. An embedding of 16 bits serves as well
 * (activations are f32 in any case): list it in `keep` to save half of its memory. Inputs need no flag for checkpointing.
 *
 * @see PEFT `src/peft/utils/other.py`, prepare_model_for_kbit_training
 */
export function prepareForKbitTraining(
  model: Module,
  { keep = [], gradientCheckpointing = true }: PrepareOptions = {},
): PrepareReport {
  model.freeze();
  for (const [, module] of model.namedModules())
    if ("gradientCheckpointing" in module) module.gradientCheckpointing = gradientCheckpointing;
  const widened: string[] = [];
  const kept = (name: string): boolean => keep.some((end) => name === end || name.endsWith(`.${end}`));
  for (const [name, parameter] of [...model.namedParameters()]) {
    if ((parameter.dtype !== "f16" && parameter.dtype !== "bf16") || kept(name)) continue;
    replaceParameter(
      model,
      parameter,
      noGrad(() => scope(() => new Parameter(cast(parameter, "f32"), false))),
    );
    parameter.dispose();
    widened.push(name);
  }
  return { widened };
}

/** Puts `made` wherever a module of the model has `old`. */
export function replaceParameter(model: Module, old: Parameter, made: Parameter): void {
  structureChanged();
  for (const [, module] of model.namedModules())
    for (const [name, value] of Object.entries(module)) if (value === old) Reflect.set(module, name, made);
}
