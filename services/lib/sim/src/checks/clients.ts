/** What clients were told, against what was published: nothing acknowledged is lost, nothing runs twice, no nonce is left out. */
import type { Client } from "../system/client.ts";
import { check } from "../system/failure.ts";

export function checkClients(clients: readonly Client[], published: readonly string[]): void {
  const counts = new Map<string, number>();
  for (const hash of published) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  const byNonce = new Map<string, Set<string>>(); // Two that were drawn alike are one.
  for (const { planned, fate } of clients.flatMap(({ sent }) => sent)) {
    const count = counts.get(planned.hash) ?? 0;
    const { id, hash, nonce, sender } = planned;
    const name = `transaction ${id} (${hash.slice(0, 8)}), nonce ${nonce} of ${sender.slice(0, 8)}`;
    check(count <= 1, "a transaction ran twice", () => name);
    check(fate !== "acknowledged" || count === 1, "an acknowledged transaction is lost", () => name);
    const key = `${planned.sender} ${planned.nonce}`;
    const used = byNonce.get(key) ?? new Set();
    byNonce.set(key, count === 1 ? used.add(planned.hash) : used);
  }
  for (const [key, hashes] of byNonce)
    check(hashes.size === 1, "a nonce was not used once", () => `${key}: ${hashes.size} times`);
}
