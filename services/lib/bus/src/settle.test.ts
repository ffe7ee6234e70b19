import { IoError } from "@meridian/core";
import { expect, test } from "vitest";
import type { Clock } from "@meridian/core";
import { settle } from "./settle.ts";
import type { Found } from "./settle.ts";
import type { StoreOutcome } from "./stream.ts";

type Answer = StoreOutcome | "lost" | "refused for good";
type Look = Found<string> | "lost";

/** A clock on which waiting takes no time. */
function quickClock(): Clock {
  let now = 0;
  return {
    now: () => now,
    after: (delayMs, run) => {
      now += delayMs;
      queueMicrotask(run);
      return () => undefined;
    },
  };
}

function say<T>(script: (T | "lost" | "refused for good")[]): () => Promise<T> {
  let step = 0;
  return () => {
    const said = script[Math.min(step++, script.length - 1)];
    if (said === "lost" || said === undefined) return Promise.reject(new IoError({ code: "TIMEOUT" }, "later"));
    if (said === "refused for good") return Promise.reject(new IoError({ code: "CLOSED" }, "never"));
    return Promise.resolve(said as T);
  };
}

const stored = { outcome: "stored", sequence: 5 } as const;
const full = { outcome: "full", text: "no room" } as const;
const moved = { outcome: "moved" } as const;
const open = { found: "open" } as const;

test.each<[what: string, answers: Answer[], looks: Look[], want: unknown]>([
  ["stored at once", [stored], [], stored],
  ["full at once is full", [full], [open], full],
  ["full, but something of it landed", [full], ["lost"], "UNREACHABLE"],
  ["lost, and it landed", ["lost"], [{ found: "stored", sequence: 9 }], { outcome: "stored", sequence: 9 }],
  ["lost, not landed, sent again", ["lost", stored], [open], stored],
  ["lost, another one is there", ["lost"], [{ found: "other", other: "them" }], { outcome: "other", other: "them" }],
  ["moved is looked up", [moved], [{ found: "other", other: "them" }], { outcome: "other", other: "them" }],
  ["moved by our own first try", ["lost", moved], [open, { found: "stored", sequence: 9 }], { outcome: "stored", sequence: 9 }],
  [
    "full after a lost try is no answer: it may still land",
    ["lost", full, full],
    [open, open, { found: "stored", sequence: 9 }],
    { outcome: "stored", sequence: 9 },
  ],
  ["full for ever after a lost try", ["lost", full], [open], "UNREACHABLE"],
  ["nobody can be asked", ["lost"], ["lost"], "UNREACHABLE"],
  [
    "asked again until the stream can be read",
    ["lost"],
    ["lost", "lost", { found: "stored", sequence: 9 }],
    { outcome: "stored", sequence: 9 },
  ],
  ["what cannot be tried again is passed on", ["refused for good"], [], "CLOSED"],
])("%s", async (_what, answers, looks, want) => {
  const outcome = settle(quickClock(), 1_000, say<StoreOutcome>(answers), say<Found<string>>(looks));
  if (typeof want === "string") await expect(outcome).rejects.toMatchObject({ detail: { code: want } });
  else expect(await outcome).toEqual(want);
});

test.each<[what: string, answers: Answer[], orders: (number | undefined)[], want: unknown]>([
  ["full behind a lost try in the same order is full", ["lost", full], [1], full],
  ["and behind several", ["lost", "lost", full], [1], full],
  ["not if the order was another when the lost one was sent", ["lost", full], [1, 2], "UNREACHABLE"],
  ["nor if it changed while the full one was asked for", ["lost", full], [1, 1, 1, 2], "UNREACHABLE"],
  ["nor where nobody vouches for an order", ["lost", full], [undefined], "UNREACHABLE"],
])("%s", async (_what, answers, orders, want) => {
  let asked = 0;
  const order = () => orders[Math.min(asked++, orders.length - 1)];
  const outcome = settle(quickClock(), 1_000, say<StoreOutcome>(answers), say<Found<string>>([open]), order);
  if (typeof want === "string") await expect(outcome).rejects.toMatchObject({ detail: { code: want } });
  else expect(await outcome).toEqual(want);
});
