import { natsRig } from "./suite/nats-rig.ts";
import { runSuite } from "./suite/suite.ts";

runSuite("nats-server", natsRig);
