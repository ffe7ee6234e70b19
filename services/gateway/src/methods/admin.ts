/** Where accounts live: for operators, and only if MERIDIAN_ADMIN says so. Shapes: README. */
import type { AdminReply, AdminRequest } from "@meridian/core";
import { assert } from "@meridian/core";
import { refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { address, looseCount, required } from "../rpc/params.ts";
import { plainMethod } from "./method.ts";
import type { Backend, Method } from "./method.ts";

export const adminMethods: Readonly<Record<string, Method>> = {
  admin_ranges: plainMethod([], (backend) =>
    answer(backend, { op: "map" }, (reply) => (reply.op === "map" ? { map: reply.map, moving: reply.moving } : null)),
  ),
  admin_pin: plainMethod([required(address), required(looseCount)], (backend, account, partition) =>
    answer(backend, { op: "pin", address: account, partition }, moving),
  ),
  admin_unpin: plainMethod([required(address)], (backend, account) =>
    answer(backend, { op: "pin", address: account, partition: null }, moving),
  ),
};

const moving = (reply: AdminReply): unknown => (reply.op === "moving" ? { version: reply.version } : null);

async function answer({ admin }: Backend, request: AdminRequest, resultOf: (reply: AdminReply) => unknown): Promise<Answer> {
  const reply = await admin(request);
  if (reply.op === "failed") return { error: refused(reply.text) };
  const result = resultOf(reply);
  assert(result !== null, `the leader answered ${request.op} with ${reply.op}`);
  return { result };
}
