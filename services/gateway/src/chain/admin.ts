/** Requests to the leader about the range map. */
import { decodeAdminReply, encodeAdminRequest, SUBJECT } from "@meridian/bus";
import type { AdminReply, AdminRequest, Wire } from "@meridian/core";
import { ask } from "./ask.ts";
import type { AskOptions } from "./ask.ts";

/** @throws IoError NO_RESPONDERS | TIMEOUT | UNREACHABLE */
export type AskAdmin = (request: AdminRequest) => Promise<AdminReply>;

export const adminOf =
  (wire: Wire, options: AskOptions): AskAdmin =>
  async (request) =>
    decodeAdminReply(await ask(wire, SUBJECT.admin, encodeAdminRequest(request), options));
