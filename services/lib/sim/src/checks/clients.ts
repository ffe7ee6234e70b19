/** What clients were told, against what was published: nothing acknowledged is lost, nothing runs twice, no nonce is left out. */
import type { Client } from "../system/client.ts";
import { check } from "../system/failure.ts";

export function checkClients(clients: readonly Client[], published: readonly string[]): void {
  const counts = new Map<string, number>();
  for (const hash of published) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  const byNonce = new Map<string, string[]>();
  for (const { planned, fate } of clients.flatMap(({ sent }) => sent)) {
    const count = counts.get(planned.hash) ?? 0;
    const { id, hash, nonce, sender } = planned;
    const name = `transaction ${id} (${hash.slice(0, 8)}), nonce ${nonce} of ${sender.slice(0, 8)}`;
    check(count <= 1, "a transaction ran twice", () => name);
    check(fate !== "acknowledged" || count === 1, "an acknowledged transaction is lost", () => name);
    const key = `${planned.sender} ${planned.nonce}`;
    byNonce.set(key, [...(byNonce.get(key) ?? []), ...(count === 1 ? [planned.hash] : [])]);
  }
  for (const [key, hashes] of byNonce)
    check(hashes.length === 1, "a nonce was not used once", () => `${key}: ${hashes.length} times`);
}
