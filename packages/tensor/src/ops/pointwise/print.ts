import { type Expr, inOrder } from "./expr.ts";
import { primitives } from "./primitives.ts";

/** A number as a WGSL literal of the type in which the body computes. */
export function literal(value: number, type: "f32" | "i32" | "u32"): string {
  if (type !== "f32") return `${value}${type === "i32" ? "i" : "u"}`;
  if (!Number.isFinite(value)) return value > 0 ? "3.4028235e38f" : "-3.4028235e38f";
  return `${Math.fround(value).toExponential()}f`;
}

/** Formulas as WGSL statements that define `v0, v1, …`, and the name of the result of each. */
export function print(
  roots: readonly Expr[],
  type: "f32" | "i32" | "u32",
  input: (index: number) => string,
): { lines: string; results: string[]; helpers: string } {
  const names = new Map<Expr, string>();
  const lines: string[] = [];
  const helpers = new Set<string>();
  for (const item of inOrder(...roots)) {
    if (item.kind === "const") names.set(item, literal(item.value, type));
    else if (item.kind === "param") names.set(item, `P.${item.name}`);
    else {
      const name = `v${lines.length}`;
      names.set(item, name);
      if (item.kind === "input") lines.push(`let ${name} = ${input(item.index)};`);
      else {
        const primitive = primitives[item.fn];
        const [a, b, c] = item.args.map((arg) => names.get(arg) ?? "");
        // WGSL has no minus for u32; 0 − a wraps as the CPU's does.
        const unsignedMinus = item.fn === "neg" && type === "u32";
        const text = unsignedMinus ? `(0u - ${a})` : primitive.wgsl(a, b ?? "", c ?? "");
        lines.push(`let ${name} = ${text};`);
        if ("helper" in primitive && primitive.helper !== undefined) helpers.add(primitive.helper);
      }
    }
  }
  return {
    lines: lines.join("\n  "),
    results: roots.map((root) => names.get(root) ?? ""),
    helpers: [...helpers].join("\n"),
  };
}
