import { openWebGpu } from "@graft/tensor/node";
import { inferenaTests } from "./inferena.ts";

inferenaTests("WebGPU", () => openWebGpu());
