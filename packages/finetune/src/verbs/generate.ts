import type { GenerateOptions } from "../args/options.ts";
import { createChatTemplate } from "../chat.ts";
import { openDevice } from "../device.ts";
import { GraftError } from "../errors.ts";
import { generate } from "../generate.ts";
import { openAdapter } from "../model/adapter.ts";
import { openModel } from "../model/open.ts";
import type { Output } from "../output.ts";
import { createSampler } from "../sampling.ts";
import { checkTokens } from "../tokenizer/check.ts";
import { createTextStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** `graft generate`: continues a prompt, writing text as it comes. */
export async function runGenerate(options: GenerateOptions, output: Output): Promise<void> {
  await using opened = await openModel(options.model, { tokenizer: options.tokenizer });
  const adapter =
    options.adapter === undefined ? undefined : await openAdapter(options.adapter, output.notice);
  const tokenizer = await opened.tokenizer();
  const promptIds = promptTokens(tokenizer, options);
  checkTokens("generate: the prompt", promptIds, opened.vocabSize);
  const positions = opened.config.maxPositionEmbeddings;
  if (promptIds.length + options.maxNewTokens > positions) {
    output.notice(
      `The prompt (${promptIds.length} tokens) and ${options.maxNewTokens} new tokens pass the ${positions} positions the model was made for; what lies beyond may be poor.`,
    );
  }
  using device = await openDevice(options.device, output.notice);
  const model = await opened.load(device.device);
  await adapter?.inject(model);

  const stream = createTextStream(tokenizer);
  let text = "";
  const say = (chunk: string) => {
    text += chunk;
    output.text(chunk);
  };
  const { tokens, finish } = await generate(model, promptIds, {
    maxNewTokens: options.maxNewTokens,
    sampler: createSampler(options),
    eosTokenIds: tokenizer.eosTokenIds,
    onToken: (id) => {
      // A model may know more tokens than its tokenizer names; those have no text.
      if (tokenizer.idToToken(id) !== undefined) say(stream.push(id));
    },
  });
  say(stream.end());
  output.text("\n");
  output.event({ text, tokens, finish });
}

function promptTokens(tokenizer: Tokenizer, { prompt, chat }: GenerateOptions): number[] {
  if (chat) {
    const template = createChatTemplate(tokenizer);
    return tokenizer.encode(
      template.render([{ role: "user", content: prompt }], { addGenerationPrompt: true }),
    );
  }
  const ids = tokenizer.encode(prompt, { addSpecialTokens: true });
  if (ids.length === 0) {
    throw new GraftError(
      "generate: --prompt must give at least one token, got an empty text. Write some text.",
    );
  }
  return ids;
}
