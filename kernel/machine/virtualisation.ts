/** Whether this machine can run hardware guests. If it cannot, domain 0 still runs and can report why. */
import { hvmCpuInit, hvmDetect, hvmRefusal, hvmVendorName } from "../../arch-x86/hvm";
import { say, sayEnd } from "../../arch-x86/log";

let refused: i32 = -1;

/** Detects and enables VT-x or AMD-V on the boot CPU, and logs which, or why not. Once, from `start`. */
export function virtualisationStart(): void {
  refused = hvmDetect();
  if (refused == 0) refused = hvmCpuInit(0);
  if (refused == 0) {
    say("Guests run with ");
    say(hvmVendorName());
    say(".");
  } else {
    say("No guests can run here: ");
    say(hvmRefusal(refused));
  }
  sayEnd();
}

/** Hardware guests can be created. */
export function virtualisationReady(): bool {
  return refused == 0;
}
