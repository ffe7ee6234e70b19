/**
 * Runs a command of this workspace on a machine that has only Node 20 or newer and npm:
 *
 *   node .ci/bootstrap.mjs services/lib/launcher/src/main.ts --no-demo
 *   node .ci/bootstrap.mjs nx run-many -t lint
 *
 * 1. Installs the dependencies if they are missing or not those of package-lock.json. The install itself runs under Node 24:
 *    under an older Node, npm silently leaves out native packages that ask for a newer one.
 * 2. Runs a `.ts` file with the installed Node 24, anything else as a command of node_modules/.bin.
 *
 * Plain JavaScript without dependencies: at this point there is nothing else.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MAJOR_MIN = 20;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, "node_modules", ".bin");
const isWindows = process.platform === "win32";

const say = (text) => console.error(`meridian: ${text}`);
const readJson = (...path) => JSON.parse(readFileSync(join(root, ...path), "utf8"));
const nodeMajor = () => Number(process.versions.node.split(".")[0]);

/** Runs to the end with this process's terminal; signals go on to it. Returns its exit code. */
function run(file, args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: "inherit", env, shell: isWindows && !file.endsWith(".exe") });
    // Whoever sends one means the command, also if the terminal has sent Ctrl-C to it already; this process waits for its end.
    const forward = (signal) => child.kill(signal);
    for (const signal of SIGNALS) process.on(signal, forward);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      for (const name of SIGNALS) process.off(name, forward);
      resolve(code ?? (signal === "SIGINT" ? 130 : 143));
    });
  });
}

/** npm, as this process was started by it, or else the one on the PATH; under another Node if given. */
function npm(args, node) {
  const cli = process.env.npm_execpath;
  const path = node === undefined ? process.env.PATH : `${dirname(node)}${delimiter}${process.env.PATH}`;
  const env = { ...process.env, PATH: path };
  return cli?.endsWith(".js") ? run(node ?? process.execPath, [cli, ...args], env) : run("npm", args, env);
}

/** Every package that the lock file wants on this machine is there, in its version. */
function isInstalled() {
  const hidden = join("node_modules", ".package-lock.json");
  if (!existsSync(join(root, hidden)) || !existsSync(join(bin, isWindows ? "node.cmd" : "node"))) return false;
  const installed = readJson(hidden).packages;
  return Object.entries(readJson("package-lock.json").packages).every(
    ([path, wanted]) =>
      !path.includes("node_modules/") || wanted.link || !isForHere(wanted) || installed[path]?.version === wanted.version,
  );
}

/** Packages that npm may leave out count only if they name this machine. */
function isForHere({ optional, devOptional, peer, os, cpu, libc }) {
  if (!optional && !devOptional && !peer) return true;
  if (os === undefined || cpu === undefined) return false;
  const here =
    process.platform === "linux" ? (process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl") : undefined;
  return os.includes(process.platform) && cpu.includes(process.arch) && (libc === undefined || libc.includes(here));
}

async function install() {
  const began = Date.now();
  const node = nodeMajor() >= 24 ? undefined : await fetchNode(readJson("package.json").dependencies.node);
  say("installing dependencies (about a minute the first time)");
  const timer = setInterval(() => say(`installing, ${Math.round((Date.now() - began) / 1000)} s`), 10_000);
  const options = ["--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  // `ci` removes what is there first: only where nothing is.
  const how = existsSync(join(root, "node_modules")) ? ["install", "--no-save"] : ["ci"];
  const code = await npm([...how, ...options], node);
  clearInterval(timer);
  if (code !== 0) return code;
  say(`installed in ${Math.round((Date.now() - began) / 1000)} s`);
  return 0;
}

/** A Node of the workspace's version in a folder of its own, from the npm package that holds nothing but the binary. */
async function fetchNode(version) {
  const name = `node-${isWindows ? "win" : process.platform}-${process.arch}`;
  const folder = join(root, ".meridian", "node");
  const node = join(folder, "node_modules", name, "bin", isWindows ? "node.exe" : "node");
  const installed = join(".meridian", "node", "node_modules", name, "package.json");
  if (existsSync(join(root, installed)) && readJson(installed).version === version) return node;
  say(`fetching Node ${version} to install with (this is Node ${process.versions.node})`);
  mkdirSync(folder, { recursive: true });
  const code = await npm([
    "install",
    "--prefix",
    folder,
    "--no-save",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    `${name}@${version}`,
  ]);
  if (code === 0) return node;
  say(`npm could not install ${name}@${version}; the dependencies are installed under Node ${process.versions.node} instead`);
  return undefined;
}

async function main([command, ...args]) {
  if (nodeMajor() < NODE_MAJOR_MIN) {
    say(`Node ${NODE_MAJOR_MIN} or newer is needed, this is Node ${process.versions.node}`);
    return 1;
  }
  if (command === undefined) {
    say("usage: node .ci/bootstrap.mjs <file.ts | command> [arguments]");
    return 2;
  }
  if (!isInstalled()) {
    const code = await install();
    if (code !== 0) return code;
  }
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  const node = join(root, "node_modules", "node", "bin", isWindows ? "node.exe" : "node");
  return command.endsWith(".ts") ? run(node, [join(root, command), ...args], env) : run(join(bin, command), args, env);
}

process.exitCode = await main(process.argv.slice(2));
