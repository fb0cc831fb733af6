import { openCpu } from "@graft/tensor";
import { inferenaTests } from "./inferena.ts";

inferenaTests("the CPU device", async () => openCpu());
