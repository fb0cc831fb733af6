import { Template } from "@huggingface/jinja";
import { GraftError, quote } from "./errors.ts";
import { tokenOffsets } from "./tokenizer/offsets.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** One turn of a conversation. */
export interface Message {
  /** `system`, `user` or `assistant`; others as the template knows them. */
  readonly role: string;
  readonly content: string;
}

/** A conversation as tokens, with the tokens that the assistant must learn. */
export interface TokenizedChat {
  readonly inputIds: number[];
  /** Whether the token belongs to an assistant turn: its content and the token that ends it. */
  readonly learned: boolean[];
}

/** Writes conversations as the model's chat template says. */
export interface ChatTemplate {
  /** The text of a conversation; `addGenerationPrompt` adds what stands before the assistant's answer. Default false */
  render(messages: readonly Message[], options?: { readonly addGenerationPrompt?: boolean }): string;
  tokenize(messages: readonly Message[]): TokenizedChat;
}

/** Stands for an assistant's content while the template is asked where it goes. Private use, so no text has it by chance. */
const mark = (index: number) => `\uE0F1graft${index}\uE0F2`;
const MARK = /\uE0F1graft(\d+)\uE0F2/g;

/** @throws GraftError where the tokenizer has no chat template or it is not valid Jinja */
export function createChatTemplate(tokenizer: Tokenizer): ChatTemplate {
  const source = tokenizer.chatTemplate;
  if (source === undefined) {
    throw new GraftError(
      "chat: the model must have a chat template (chat_template in tokenizer_config.json), got none. Use a chat model, or prompt/completion rows and no --chat.",
    );
  }
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw new GraftError(
      `chat: the model's chat template must be valid Jinja, got one that is not (${reasonOf(error)}). Copy tokenizer_config.json again from where the model came from.`,
      {
        cause: error,
      },
    );
  }
  const render: ChatTemplate["render"] = (messages, { addGenerationPrompt = false } = {}) => {
    try {
      return template.render({
        ...tokenizer.specialTokens,
        tools: null, // as transformers does: templates ask whether it is none
        documents: null,
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw new GraftError(
        `chat: the model's chat template refuses these messages (${reasonOf(error)}). Check their roles and order.`,
        { cause: error },
      );
    }
  };
  return { render, tokenize: (messages) => tokenize(tokenizer, render, messages) };
}

function tokenize(
  tokenizer: Tokenizer,
  render: ChatTemplate["render"],
  messages: readonly Message[],
): TokenizedChat {
  const text = render(messages);
  const inputIds = tokenizer.encode(text);
  const learned = new Array<boolean>(inputIds.length).fill(false);
  const spans = assistantSpans(render, messages, text);
  if (spans.length > 0) {
    const offsets = tokenOffsets(tokenizer, text, inputIds);
    for (const { start, end, next } of spans) {
      const first = offsets.at(start);
      const last = endOfTurn(tokenizer, inputIds, offsets.at(end), offsets.at(next));
      learned.fill(true, first, last);
    }
  }
  return { inputIds, learned };
}

/** Characters of an assistant's content in the rendered text, and where the next turn's text may begin. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly next: number;
}

/**
 * Finds each assistant's content: the conversation is rendered a second time with a mark in place of every such content. The text between
 * the marks must then stand in the real rendering too, with the contents between.
 */
function assistantSpans(render: ChatTemplate["render"], messages: readonly Message[], text: string): Span[] {
  const marked = messages.map((message, index) =>
    message.role === "assistant" ? { ...message, content: mark(index) } : message,
  );
  const pieces = render(marked).split(MARK); // text, index, text, index, …, text
  const spans: Span[] = [];
  let position = 0;
  if (!text.startsWith(pieces[0])) throw rewritten();
  for (let i = 1; i < pieces.length; i += 2) {
    const content = messages[Number(pieces[i])]?.content;
    if (content === undefined) throw rewritten();
    const start = position + pieces[i - 1].length;
    const after = pieces[i + 1];
    const isLast = i + 2 >= pieces.length;
    const written = [content, content.trim(), content.trimStart(), content.trimEnd()].find((candidate) => {
      const rest = start + candidate.length;
      return (
        text.startsWith(candidate, start) &&
        (isLast ? text.slice(rest) === after : text.startsWith(after, rest))
      );
    });
    if (written === undefined) throw rewritten();
    position = start + written.length;
    spans.push({ start, end: position, next: position + after.length });
  }
  return spans;
}

/**
 * One past the token that ends the turn: the first special token between the content's end and the next turn, else
 * the first token there, if any.
 */
function endOfTurn(tokenizer: Tokenizer, ids: readonly number[], end: number, next: number): number {
  for (let i = end; i < next; i++) if (tokenizer.isSpecial(ids[i])) return i + 1;
  return Math.min(end + 1, Math.max(next, end));
}

function rewritten(): GraftError {
  return new GraftError(
    "chat: the model's chat template must write the assistant's turns as they are, got one that rewrites them or earlier turns, so that the loss has no place. Give prompt/completion rows instead.",
  );
}

function reasonOf(error: unknown): string {
  return quote(error instanceof Error ? error.message : String(error), 200);
}
