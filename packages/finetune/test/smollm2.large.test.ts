import { openWebGpu } from "@graft/tensor/node";
import { smollm2Tests } from "./smollm2.ts";

smollm2Tests("WebGPU", () => openWebGpu());
