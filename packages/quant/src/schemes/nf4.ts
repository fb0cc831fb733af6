import { nf4Format } from "@graft/tensor";
import { codebookScheme } from "../codebook.ts";

/**
 * NormalFloat4: the table holds quantiles of the normal distribution, so that weights use its codes about equally.
 * A value lies at most 0.1519 of its block's absmax from what comes back.
 *
 * @see Dettmers et al. 2023 (QLoRA), appendix E, https://arxiv.org/abs/2305.14314
 */
export const nf4 = codebookScheme("nf4", nf4Format.table, false);
