/** The machine's interrupts. They arrive while a guest or a software domain runs, or in idle; never in the hypervisor. */
import { apicEoi, picEoi, VECTOR_SERIAL, VECTOR_TIMER } from "../arch-x86/apic";
import * as hw from "../arch-x86/hw";
import { consoleInput } from "./console-io";

/** Serves one vector that the CPU has taken. */
export function interruptHandle(vector: i32): void {
  if (<u32>vector == VECTOR_TIMER) {
    apicEoi(); // that a deadline has passed is for the loop to see by the clock
  } else if (<u32>vector == VECTOR_SERIAL) {
    consoleInput();
    picEoi();
  }
}

/** Takes and serves everything that is pending on this CPU. */
export function interruptsDrain(): void {
  for (let vector = hw.takeInterrupt(); vector >= 0; vector = hw.takeInterrupt()) interruptHandle(vector);
}
