/** What the servers have for files: the least of the servers' `max_file_store` and of what the account may use. */
import { accountInfo } from "./jetstream-api.ts";
import type { Connection } from "./connection.ts";
import { askMonitors } from "./monitors.ts";

/**
 * Bytes that the streams may hold together; undefined if neither a monitor nor the account's limits tell.
 * @param monitorUrl as for `askMonitors`; monitors of other servers than this connection's cluster do not count
 * @param replicas servers that keep each stream: an account's limit counts what all of them hold
 * @throws IoError as `ask`
 */
export async function storageBytes(
  connection: Connection,
  monitorUrl: string | undefined,
  replicas: number,
): Promise<number | undefined> {
  const { nc } = connection;
  const [account, answers] = await Promise.all([accountInfo(connection), askMonitors(nc, monitorUrl)]);
  const { server_name: own, cluster } = nc.info ?? {};
  const limits: number[] = [];
  for (const answer of answers) {
    if ("failed" in answer) continue;
    const { server_name: name, cluster: theirs, jetstream } = answer.varz;
    const isOurs = name === own || (cluster !== undefined && theirs?.name === cluster);
    const bytes = jetstream?.config?.max_storage ?? 0;
    if (isOurs && bytes > 0) limits.push(bytes);
  }
  const tier = account.tiers?.[`R${replicas}`]?.limits.max_storage ?? 0;
  if (tier > 0) limits.push(tier);
  if (account.limits.max_storage > 0) limits.push(Math.floor(account.limits.max_storage / replicas));
  return limits.length === 0 ? undefined : Math.min(...limits);
}
