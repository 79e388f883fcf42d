/** Calls of the sandboxes inside domain 0's, by the call page. */
import { DOM0_CALL_PAGE } from "../../abi/domain0-layout.ts";
import { CallPage, SANDBOX_NEW, SANDBOX_RETURNED } from "../../abi/software.ts";
import { hostSandbox, memory } from "./host.ts";

function call(sandbox: number, words: number[]): number | null {
  memory.store32(DOM0_CALL_PAGE + CallPage.sandbox, sandbox);
  for (let i = 0; i < words.length; i++) {
    memory.store32(DOM0_CALL_PAGE + CallPage.sandboxArguments + 4 * i, words[i]);
  }
  hostSandbox();
  if (memory.load32(DOM0_CALL_PAGE + CallPage.sandboxStatus) !== SANDBOX_RETURNED) return null;
  return memory.load32(DOM0_CALL_PAGE + CallPage.sandboxResult);
}

/**
 * Calls a sandbox's instance, which keeps its state from call to call.
 * @param sandbox SANDBOX_*
 * @param words at most six arguments, 32 bits each; those not given are whatever the last call had
 * @returns what the module returned; null when a fault stopped it, which the console reports, or when it has no instance
 */
export function callSandbox(sandbox: number, ...words: number[]): number | null {
  return call(sandbox, words);
}

/** The same in a new instance. Its memory must have RAM, all zeroes but for what the module is to find there. */
export function startSandbox(sandbox: number, ...words: number[]): number | null {
  return call((sandbox | SANDBOX_NEW) >>> 0, words);
}
