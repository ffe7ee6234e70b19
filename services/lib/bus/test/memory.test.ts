import { memoryRig } from "./suite/memory-rig.ts";
import { runSuite } from "./suite/suite.ts";

runSuite("in memory", memoryRig);
