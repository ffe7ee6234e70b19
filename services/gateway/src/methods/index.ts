/** All methods by name. The two that send transactions are not among them: they have a path of their own (ingest/, submit/). */
import { accessListMethods } from "./access-list.ts";
import { adminMethods } from "./admin.ts";
import { blockMethods } from "./blocks.ts";
import { callMethods } from "./call.ts";
import { chainMethods } from "./chain.ts";
import { meridianMethods } from "./meridian.ts";
import type { Method } from "./method.ts";
import { stateMethods } from "./state.ts";
import { transactionMethods } from "./transactions.ts";

/** @param hasAdmin  with the `admin_` namespace */
export function methodsOf(hasAdmin: boolean): ReadonlyMap<string, Method> {
  return new Map(
    Object.entries({
      ...chainMethods,
      ...stateMethods,
      ...callMethods,
      ...accessListMethods,
      ...blockMethods,
      ...transactionMethods,
      ...meridianMethods,
      ...(hasAdmin ? adminMethods : {}),
    }),
  );
}
