/** `npm run meridian -- <command>`: what an operator asks of a running cluster, over JSON-RPC. */
import { Command, InvalidArgumentError } from "commander";
import { isIoError } from "@meridian/core";
import { RpcClient } from "../workload/rpc.ts";
import { pin, readRanges, textOf } from "./admin.ts";
import { mapText } from "./texts.ts";

const URL_DEFAULT = "http://127.0.0.1:8545";
const WAIT_S_DEFAULT = 60; // A move that takes longer than 30 s is given up by the scheduler.

interface Flags {
  url: string;
  timeout: number;
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`Want an integer from ${min} to ${max}.`);
    return value;
  };
}

function address(text: string): string {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new InvalidArgumentError("Want 0x and 40 hex digits.");
  return text.toLowerCase();
}

async function ranges(rpc: RpcClient): Promise<void> {
  const { map, moving } = await readRanges(rpc);
  console.log(mapText(map, moving === true));
}

async function move(rpc: RpcClient, account: string, partition: number | null, seconds: number): Promise<void> {
  const { map, ms } = await pin(rpc, account, partition, seconds * 1000);
  const where = partition === null ? "where its range is" : `on partition ${partition}`;
  console.log(`${account} lives ${where} by map version ${map.version}; it took ${ms} ms`);
}

function program(): Command {
  const command = new Command("npm run meridian --").description("Looks at a running cluster's range map and changes it.");
  const add = (
    name: string,
    description: string,
    run: (rpc: RpcClient, flags: Flags, args: unknown[]) => Promise<void>,
  ): Command =>
    command
      .command(name)
      .description(description)
      .option("--url <url>", "of a gateway", URL_DEFAULT)
      .option("--timeout <seconds>", "to wait for a change", integer(1, 3600), WAIT_S_DEFAULT)
      .action(async (...given: unknown[]) => {
        const self = given.at(-1) as Command;
        const flags = self.opts<Flags>();
        const rpc = new RpcClient(flags.url);
        try {
          await run(rpc, flags, self.processedArgs);
        } finally {
          rpc.close();
        }
      });
  add("ranges", "prints the map: ranges, pins, partitions", (rpc) => ranges(rpc));
  add("pin", "moves an account to a partition, whatever its range", (rpc, { timeout }, [account, partition]) =>
    move(rpc, account as string, partition as number, timeout),
  )
    .argument("<address>", "of the account", address)
    .argument("<partition>", "its number", integer(0, 65_535));
  add("unpin", "moves a pinned account back to its range", (rpc, { timeout }, [account]) =>
    move(rpc, account as string, null, timeout),
  ).argument("<address>", "of the account", address);
  return command.addHelpText("after", "\nChanges need MERIDIAN_ADMIN=true on gateway and schedulers: npm start -- --admin");
}

program()
  .parseAsync()
  .catch((error: unknown) => {
    console.error(isIoError(error) ? textOf(error) : error);
    process.exitCode = 1;
  });
