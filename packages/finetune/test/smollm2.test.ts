import { openCpu } from "@graft/tensor";
import { smollm2Tests } from "./smollm2.ts";

smollm2Tests("the CPU device", async () => openCpu());
