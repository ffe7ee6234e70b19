/**
 * EthereumJS looks for the jump targets of a contract's code whenever it is called, which takes longer than most calls do. The
 * answer depends on the code alone, so it is kept for as long as the code is.
 */
const INTERPRETER = new URL("interpreter.js", import.meta.resolve("@ethereumjs/evm")).href;

interface Interpreter {
  prototype: { _getValidJumpDestinations?: (code: Uint8Array) => unknown };
}

let isKept = false;

/** @returns false if this version of EthereumJS does it in another way; then nothing is changed */
export async function keepJumpTargets(): Promise<boolean> {
  if (isKept) return true;
  const { Interpreter } = (await import(INTERPRETER)) as { Interpreter?: Interpreter };
  const find = Interpreter?.prototype._getValidJumpDestinations;
  if (Interpreter === undefined || find === undefined) return false;
  // By the bytes' identity: the state keeps one array for each code.
  const found = new WeakMap<Uint8Array, unknown>();
  Interpreter.prototype._getValidJumpDestinations = function (code) {
    let targets = found.get(code);
    if (targets === undefined) found.set(code, (targets = find.call(this, code)));
    return targets;
  };
  isKept = true;
  return true;
}
