import type { Message } from "../chat.ts";
import { quote } from "../errors.ts";
import { isObject, kindOf } from "../json.ts";

/** One line of a .jsonl file. */
export type Row =
  | { readonly shape: "text"; readonly text: string }
  | { readonly shape: "prompt/completion"; readonly prompt: string; readonly completion: string }
  | { readonly shape: "messages"; readonly messages: readonly Message[] }
  | { readonly shape: "input_ids"; readonly inputIds: readonly number[]; readonly labels: readonly number[] };

/** Keys of the four shapes: those that must be there, and those that may. */
const shapes = [
  { keys: ["text"], optional: [] },
  { keys: ["prompt", "completion"], optional: [] },
  { keys: ["messages"], optional: [] },
  { keys: ["input_ids"], optional: ["labels"] },
] as const;

const SHAPES = "text, prompt and completion, messages, or input_ids and labels";

/** A row that is not as it must be; the message says what, without the line. */
export class RowProblem extends Error {}

/** @throws RowProblem where the line is not JSON or has none of the four shapes */
export function parseRow(line: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new RowProblem(
      `must be a JSON object, got text that is not JSON (${error instanceof Error ? quote(error.message, 80) : "unknown"})`,
    );
  }
  if (!isObject(value)) throw new RowProblem(`must be a JSON object, got ${kindOf(value)}`);
  const names = Object.keys(value);
  const shape = shapes.find(({ keys }) => keys.every((key) => names.includes(key)));
  const extra =
    shape === undefined
      ? []
      : names.filter((name) => ![...shape.keys, ...shape.optional].some((key) => key === name));
  if (shape === undefined || extra.length > 0) {
    throw new RowProblem(
      `must have the keys ${SHAPES} and no other, got ${names.length === 0 ? "none" : quote(names.join(", "), 80)}`,
    );
  }
  switch (shape.keys[0]) {
    case "text":
      return { shape: "text", text: string(value.text, "text") };
    case "prompt":
      return {
        shape: "prompt/completion",
        prompt: string(value.prompt, "prompt"),
        completion: string(value.completion, "completion"),
      };
    case "messages":
      return { shape: "messages", messages: messages(value.messages) };
    case "input_ids": {
      const inputIds = integers(value.input_ids, "input_ids");
      const labels = value.labels === undefined ? inputIds : integers(value.labels, "labels");
      if (labels.length !== inputIds.length)
        throw new RowProblem(
          `labels must be as many as input_ids (${inputIds.length}), got ${labels.length}`,
        );
      return { shape: "input_ids", inputIds, labels };
    }
  }
}

function string(value: unknown, name: string): string {
  if (typeof value !== "string") throw new RowProblem(`"${name}" must be a string, got ${kindOf(value)}`);
  return value;
}

function messages(value: unknown): Message[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new RowProblem(
      `"messages" must be a list of at least one message, got ${Array.isArray(value) ? "an empty list" : kindOf(value)}`,
    );
  return value.map((message: unknown, index) => {
    if (!isObject(message))
      throw new RowProblem(
        `message ${index} must be an object with role and content, got ${kindOf(message)}`,
      );
    const { role, content, ...others } = message;
    const [other] = Object.keys(others);
    if (other !== undefined)
      throw new RowProblem(
        `message ${index} must have role and content and no other key, got ${quote(other)}`,
      );
    return {
      role: string(role, `messages[${index}].role`),
      content: string(content, `messages[${index}].content`),
    };
  });
}

function integers(value: unknown, name: string): number[] {
  if (!Array.isArray(value))
    throw new RowProblem(`"${name}" must be a list of whole numbers, got ${kindOf(value)}`);
  return value.map((item: unknown, index) => {
    if (typeof item !== "number" || !Number.isSafeInteger(item))
      throw new RowProblem(
        `"${name}" must be a list of whole numbers, got ${kindOf(item)} at position ${index}`,
      );
    return item;
  });
}
