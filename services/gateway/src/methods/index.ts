/** All methods by name. The two that send transactions are not among them: they have a path of their own (ingest/, submit/). */
import { blockMethods } from "./blocks.ts";
import { callMethods } from "./call.ts";
import { chainMethods } from "./chain.ts";
import { meridianMethods } from "./meridian.ts";
import type { Method } from "./method.ts";
import { stateMethods } from "./state.ts";
import { transactionMethods } from "./transactions.ts";

export const methods: ReadonlyMap<string, Method> = new Map(
  Object.entries({
    ...chainMethods,
    ...stateMethods,
    ...callMethods,
    ...blockMethods,
    ...transactionMethods,
    ...meridianMethods,
  }),
);
