import type { InfoOptions } from "../args/options.ts";
import { describeFile, type FileDescription } from "../model/describe.ts";
import type { Output } from "../output.ts";

/** `graft info`: what a model, adapter or weight file holds. */
export async function runInfo(options: InfoOptions, output: Output): Promise<void> {
  const found = await describeFile(options.path);
  output.result(found, textOf(options.path, found));
}

const kinds = {
  model: "model (Hugging Face folder)",
  adapter: "adapter (PEFT folder)",
  safetensors: "safetensors file",
  gguf: "GGUF file",
} as const;

function textOf(path: string, description: FileDescription): string {
  const { kind, parameters, bytes, bitsPerWeight, parts, tensors, config } = description;
  const rows = (pairs: readonly (readonly string[])[]): string[] => {
    const widths = pairs[0]?.map((_, column) => Math.max(...pairs.map((row) => row[column].length))) ?? [];
    return pairs.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i])).join("  ")}`.trimEnd());
  };
  const settings = Object.entries(config).map(([name, value]) => [
    printable(name),
    typeof value === "string" ? printable(value) : JSON.stringify(value),
  ]);
  return [
    `${path}: ${kinds[kind]}`,
    ...rows([
      ["parameters", parameters.toLocaleString("en-US")],
      ["bytes", bytes.toLocaleString("en-US")],
      ["bits per weight", bitsPerWeight.toFixed(3)],
    ]),
    "",
    "parts",
    ...rows(
      parts.map((own) => [
        own.part,
        `${own.bytes.toLocaleString("en-US")} bytes`,
        `${own.bitsPerWeight.toFixed(3)} bits per weight`,
      ]),
    ),
    ...(settings.length === 0 ? [] : ["", "configuration", ...rows(settings)]),
    "",
    `tensors (${tensors.length})`,
    ...rows(tensors.map(({ name, dtype, shape }) => [printable(name), dtype, `[${shape.join(", ")}]`])),
  ].join("\n");
}

/** Text of a file without what would move the cursor or colour the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}
