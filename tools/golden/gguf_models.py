"""Two tiny whole GGUF files as llama.cpp's converter would write them, with what transformers and tokenizers say of them."""

import json

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from common import fresh_folder, load_causal, randomise, token_rows, write_json, write_tensors

VOCABULARY = 300
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = ["The baker on the corner opens at 6 and sells 12 kinds of bread.", "When the river is high, the ferry does not run.",
        "She said that the answer isn't in the book; it's in the other one.", "for (let i = 0; i < 10; i++) { total += values[i]; }",
        "def f(n):\n    if n:\n        return  1", "The lighthouse on the island has been empty since 1987."] * 3
PROMPTS = ["", "The baker", "In 1987 there were 12345 loaves, weren't there?", "  two  spaces\n\n\tand tabs \n", "naïve café – 東京 🙂 ½ ٣",
           "if (x<=10){y+=1;}", "<|im_start|>user\nHello<|im_end|>\n", "e\u0301 and \u00e9", "I'LL can't WE'RE", "a  1   23"]
CHAT_TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

BLOCK = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}

# Which type each matrix gets: every type that Graft reads occurs, in both layers differently.
LAYER_TYPES = [{"attn_q": Type.Q4_0, "attn_k": Type.Q8_0, "attn_v": Type.F16, "attn_output": Type.Q4_1, "ffn_gate": Type.Q4_0, "ffn_up": Type.BF16, "ffn_down": Type.Q8_0},
               {"attn_q": Type.Q8_0, "attn_k": Type.Q4_1, "attn_v": Type.Q4_0, "attn_output": Type.F16, "ffn_gate": Type.F32, "ffn_up": Type.Q4_1, "ffn_down": Type.Q4_0}]

SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def pre_tokenizer(pre):
    """What the original models' tokenizer.json holds for each `tokenizer.ggml.pre`."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("smollm", "gpt-2"))
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if pre in ("qwen2", "llama-bpe"):
        pattern = SPLIT % ("{1,3}" if pre == "llama-bpe" else "")
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])
    return byte_level  # gpt-2


def build_tokenizer(pre):
    tokenizer = Tokenizer(models.BPE())
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def tokens_and_merges(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [t for t, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    return tokens, [" ".join(pair) for pair in model["merges"]]


def permute(weight, heads):
    """llama.cpp rotates neighbouring pairs, transformers halves: its converter reorders the rows of q and k for the architecture llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def add_tensor(writer, name, array, kind):
    array = np.ascontiguousarray(array, dtype=np.float32)
    if kind in (Type.F32, Type.F16):
        writer.add_tensor(name, array.astype(np.float16 if kind == Type.F16 else np.float32))
    else:
        writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)


def write_model(path, model, arch, pre, tokenizer):
    config, state = model.config, {k: v.float().numpy() for k, v in model.state_dict().items()}
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_name(f"golden {arch}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(2)  # mostly Q4_0
    writer.add_quantization_version(2)
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)

    tokens, merges = tokens_and_merges(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    add_tensor(writer, "token_embd.weight", state["model.embed_tokens.weight"], Type.Q8_0)
    add_tensor(writer, "output_norm.weight", state["model.norm.weight"], Type.F32)
    if not config.tie_word_embeddings:
        add_tensor(writer, "output.weight", state["lm_head.weight"], Type.F16)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer, types in enumerate(LAYER_TYPES):
        for short, long in BLOCK.items():
            for part in ("weight", "bias"):
                array = state.get(f"model.layers.{layer}.{long}.{part}")
                if array is None:
                    continue
                if arch == "llama" and short in heads:
                    array = permute(array, heads[short])
                kind = types.get(short, Type.F32) if part == "weight" else Type.F32  # vectors stay float32
                add_tensor(writer, f"blk.{layer}.{short}.{part}", array, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenization(original, from_gguf):
    """Ids by the original tokenizer.json; where transformers reads something else from the GGUF file, that too."""
    rows = []
    for text in PROMPTS:
        ids, other = original.encode(text, add_special_tokens=False).ids, from_gguf(text, add_special_tokens=False).input_ids
        rows.append({"text": text, "ids": ids, **({} if other == ids else {"transformersIds": other})})
    return rows


def expect(folder, name, tokenizer, pre, seed):
    model = load_causal(folder, gguf_file=f"{name}.gguf")
    ids, _ = token_rows(2, 9, VOCABULARY, seed)
    with torch.no_grad():
        logits = model(ids).logits
    write_tensors(folder / f"{name}.expect.safetensors", {"input_ids": ids.int(), "logits": logits})
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why 12?"}, {"role": "assistant", "content": "It isn't."}]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    wrapped.chat_template = CHAT_TEMPLATE
    weights = {k: {"shape": list(v.shape), "sum": v.double().sum().item(), "sumOfSquares": v.double().square().sum().item()}
               for k, v in model.named_parameters()}
    write_json(folder / f"{name}.json", {
        "file": f"{name}.gguf", "pre": pre, "tied": model.config.tie_word_embeddings, "weights": weights,
        "tokenization": tokenization(tokenizer, AutoTokenizer.from_pretrained(str(folder), gguf_file=f"{name}.gguf")),
        "chat": {"messages": chat, "text": wrapped.apply_chat_template(chat, tokenize=False),
                 "prompt": wrapped.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True)},
    })


def write_pieces(folder):
    """How each kind of pre-tokenizer cuts the prompts, as strings of the byte-level alphabet: tokenization without any vocabulary."""
    pieces = {pre: [[piece for piece, _ in pre_tokenizer(pre).pre_tokenize_str(t)] for t in PROMPTS] for pre in ("smollm", "gpt-2", "llama-bpe", "qwen2")}
    write_json(folder / "pre_tokenization.json", {"texts": PROMPTS, "pieces": pieces})


def main():
    folder = fresh_folder("gguf_models")
    small = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                 max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 20000.0})
    cases = {"llama": (LlamaConfig(**small, tie_word_embeddings=False), "smollm"), "qwen2": (Qwen2Config(**small, tie_word_embeddings=True), "qwen2")}
    for seed, (arch, (config, pre)) in enumerate(cases.items(), start=500):
        tokenizer = build_tokenizer(pre)
        write_model(folder / f"{arch}.gguf", randomise(AutoModelForCausalLM.from_config(config), seed), arch, pre, tokenizer)
        tokenizer.save(str(folder / f"{arch}.tokenizer.json"))
        expect(folder, arch, tokenizer, pre, seed + 50)
    write_pieces(folder)
