/**
 * Gives every package of the workspace the same three targets, so that no package has to say them again: `test` (if it has a test
 * file), `typecheck` and `lint`. A package can override parts of them under "nx" in its package.json.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const PACKAGES = "{services/*,services/lib/*,operators/*,loadtest}/package.json";

/**
 * Tools start services as processes, and the simulator imports them: their results depend on everything that runs, and their
 * tests run alone, for they have bounds on time.
 */
const KINDS_THAT_RUN_ALL = ["kind:tool", "kind:sim"];

/** The native engine is built outside of git: whether it is there, and which, decides what tests run with. */
const NATIVE_ENGINE = {
  runtime: `node -p "fs.globSync('services/lib/engine/native/*.node').map((file) => file + fs.statSync(file).mtimeMs).join()"`,
};

/** @type {import("@nx/devkit").CreateNodes} */
export const createNodes = [
  PACKAGES,
  (files, _options, { workspaceRoot }) =>
    files.map((file) => [file, { projects: { [dirname(file)]: project(dirname(file), workspaceRoot) } }]),
];

/**
 * @param {string} root  folder of the package, relative to the workspace
 * @param {string} workspaceRoot
 */
function project(root, workspaceRoot) {
  const { name, nx } = JSON.parse(readFileSync(join(workspaceRoot, root, "package.json"), "utf8"));
  const runsAll = KINDS_THAT_RUN_ALL.some((tag) => nx?.tags?.includes(tag));
  const up = relative(root, ".");
  const command = (/** @type {string} */ text) => ({
    executor: "nx:run-commands",
    options: { command: text, cwd: root },
    cache: true,
    inputs: runsAll
      ? ["default", "^default", "{workspaceRoot}/services/**/*", "{workspaceRoot}/loadtest/**/*"]
      : ["default", "^default"],
  });
  const lint = command("eslint --max-warnings 0 .");
  const targets = {
    typecheck: command("tsc -p ."),
    lint: { ...lint, inputs: [...lint.inputs, "{workspaceRoot}/eslint.config.mjs"] },
  };
  const hasTests = globSync("{src,test}/**/*.test.ts", { cwd: join(workspaceRoot, root) }).length > 0;
  if (!hasTests) return { targets };
  const ownConfig = existsSync(join(workspaceRoot, root, "vitest.config.ts"));
  const report = `.ci/reports/${name.replace("@meridian/", "")}.json`;
  const test = command(
    [
      `vitest run --root . --config ${ownConfig ? "" : `${up}/`}vitest.config.ts`,
      `--reporter=default --reporter=json --outputFile.json=${up}/${report}`,
    ].join(" "),
  );
  return {
    targets: {
      ...targets,
      test: {
        ...test,
        parallelism: !runsAll,
        inputs: [...test.inputs, "{workspaceRoot}/vitest.config.ts", NATIVE_ENGINE],
        outputs: [`{workspaceRoot}/${report}`],
      },
    },
  };
}
