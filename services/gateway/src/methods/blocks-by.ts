/** From what a client calls a block to its number. Nothing after `latest` exists for a client. */
import { PENDING } from "@meridian/core";
import type { ArchiveBlock } from "@meridian/core";
import type { Read } from "../chain/state.ts";
import { hexData } from "../format/hex.ts";
import type { BlockNumberRef, BlockRef } from "../rpc/block-param.ts";
import { refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import type { Context } from "./method.ts";

/** The block whose state is read: a number, or PENDING. */
export async function stateBlock(ref: BlockRef | undefined, context: Context): Promise<Read<number>> {
  if (ref === undefined || ref === "latest") return { value: context.latest.number };
  if (ref === "pending") return { value: PENDING };
  if (ref === "earliest") return { value: 0 };
  if (typeof ref === "number") {
    return ref <= context.latest.number ? { value: ref } : { error: refused("header not found") };
  }
  const found = await findBlock(ref.hash, context);
  if ("error" in found) return found;
  return found.value === null
    ? { error: refused(`header for hash not found: ${hexData(ref.hash)}`) }
    : { value: found.value.number };
}

/**
 * Answers by the state of the block that is meant. Where an account lives that has just moved, nothing of it is known from before
 * its move. The move's block can be newer than `latest`: whoever means `latest` waits for it, whoever names a block does not.
 * @param answer  gets the block's number, or PENDING, and what `latest` means with it
 */
export async function byState(
  ref: BlockRef | undefined,
  context: Context,
  answer: (block: number, context: Context) => Promise<Answer>,
): Promise<Answer> {
  const { view, sealMsMax } = context;
  const deadlineAt = performance.now() + sealMsMax;
  for (let latest = context.latest; ;) {
    const now = { ...context, latest };
    const block = await stateBlock(ref, now);
    if ("error" in block) return block;
    const answered = await answer(block.value, now);
    const isLatest = ref === undefined || ref === "latest";
    const oldest = isLatest && "error" in answered ? (answered.oldest ?? 0) : 0;
    if (oldest <= latest.number) return answered;
    const late = { error: refused(`an account that is read has moved with block ${oldest}, which is not sealed yet: ask again`) };
    if (performance.now() >= deadlineAt) return late;
    while ((view.latest()?.number ?? 0) < oldest) if (!(await view.nextBeat(deadlineAt))) return late;
    latest = view.latest() ?? latest;
  }
}

/** A number for a number or tag; null for `pending` and for what is not sealed yet. `earliest` is the oldest that is kept. */
export async function sealedNumber(ref: BlockNumberRef, { archive, latest }: Context): Promise<Read<number | null>> {
  if (ref === "latest") return { value: latest.number };
  if (ref !== "earliest") return { value: ref === "pending" || ref > latest.number ? null : ref };
  const head = await archive.head();
  return "error" in head ? head : { value: head.value.oldest };
}

/** A sealed block without its body, or with it; null if there is none. */
export async function findBlock(
  by: BlockNumberRef | Uint8Array,
  context: Context,
  hasBody = false,
): Promise<Read<ArchiveBlock | null>> {
  const resolved = by instanceof Uint8Array ? { value: by } : await sealedNumber(by, context);
  if ("error" in resolved || resolved.value === null) return resolved as Read<null>;
  const key = resolved.value;
  const { archive, latest, view } = context;
  const found = await (hasBody ? archive.wholeBlock(key, latest.number) : archive.block(key, latest.number));
  if ("error" in found || found.value === null) return found;
  // A block asked for by hash may have been sealed since the request came.
  const newest = Math.max(latest.number, view.latest()?.number ?? 0);
  return found.value.number <= newest ? found : { value: null };
}
