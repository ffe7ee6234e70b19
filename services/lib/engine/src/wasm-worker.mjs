/**
 * The thread beside the engine's: a second instance on the same memory, which runs calls one after the other.
 *
 * Plain JavaScript that imports nothing of ours. Node strips types with a WebAssembly module of its own, loaded anew in every
 * thread, and V8 13.6 can end the process when threads with such a module come and go: it frees the wrappers of their imports
 * twice (`TierUpWasmToJSWrapper`, then "Check failed: jit_page.has_value()" or SIGSEGV). The engine's module imports no function.
 */
import { parentPort, workerData } from "node:worker_threads";

/** @type {import("./wasm.ts").WorkerStart} */
const { module, memory, stackTop, storage } = workerData;
const instance = new globalThis.WebAssembly.Instance(module, { env: { memory } });
const { perform, __stack_pointer, __wasm_init_tls } = instance.exports;
// Before these two lines no function with a stack frame may run: it would write into the first instance's stack.
__stack_pointer.value = stackTop;
__wasm_init_tls(storage);

/** @param {import("./wasm.ts").WorkerTask} task */
function run({ id, operation, handle, input, inputBytes, answer }) {
  try {
    perform(operation, handle, 0, input, inputBytes, input, 0, input, 0, answer);
    return { id };
  } catch (error) {
    return { id, bug: String(error) };
  }
}

parentPort.on("message", (/** @type {import("./wasm.ts").WorkerTask} */ task) => parentPort.postMessage(run(task)));
