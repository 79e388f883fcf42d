/** The host function `encode`, on a window of the tests'. */
import { CallPage } from "../../../abi/software.ts";
import { DOM0_CALL_PAGE } from "../../../abi/domain0-layout.ts";
import type { MachineWindow } from "../../../toolstack/control/window.ts";

/** What the shim does for HOST_CALL_ENCODE: bytes up to the first NUL, as many as there is room for, and the length of all. */
export function hostEncode(window: MachineWindow, text: string): void {
  const bytes = Buffer.from(text.split("\0")[0]!, "utf8");
  const room = window.load32(DOM0_CALL_PAGE + CallPage.textRoom);
  window.write(window.load32(DOM0_CALL_PAGE + CallPage.textAddress), bytes.subarray(0, room));
  window.store32(DOM0_CALL_PAGE + CallPage.textLength, bytes.length);
}
