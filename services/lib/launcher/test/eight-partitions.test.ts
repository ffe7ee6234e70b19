/**
 * What users do with a cluster of 8 partitions, two archives and two gateways. The suites share it and run in this order; the
 * last one replays all that those before it did.
 */
import { afterAll, beforeAll } from "vitest";
import { startShared, stopShared } from "./suites/shared.ts";
import "./suites/bad-input.ts";
import "./suites/contracts.ts";
import "./suites/vaults.ts";
import "./suites/archives.ts";
import "./suites/verify.ts";

beforeAll(startShared);
afterAll(stopShared);
