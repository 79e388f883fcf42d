/** The machine's interrupts. They arrive while a guest or a software domain runs, or in idle; in the hypervisor only where it polls for them. */
import {
  hostApicEnd,
  hostApicEoi,
  picEoi,
  VECTOR_DEVICE_FIRST,
  VECTOR_DEVICE_LAST,
  VECTOR_SERIAL,
  VECTOR_TIMER,
} from "../arch-x86/host/apic";
import * as hw from "../arch-x86/hw";
import { uartPump, uartWantsService } from "../arch-x86/host/uart";
import { consoleInput } from "./events/console-input";
import { evtchnPirqRaise } from "./events/event-channel";
import { pirqTaken } from "./devices/pirq";
import { cpuOf } from "./records/cpu";

/** Serves one vector that `cpu`, the one this runs on, has taken. */
export function interruptHandle(cpu: u32, vector: i32): void {
  if (<u32>vector == VECTOR_TIMER) {
    hostApicEoi();
    cpuOf(cpu).deadlineTsc = 0; // it may have come early: the loop checks the clock and sets it again
  } else if (<u32>vector == VECTOR_SERIAL) {
    do {
      consoleInput();
      uartPump();
    } while (uartWantsService());
    picEoi();
  } else if (<u32>vector >= VECTOR_DEVICE_FIRST && <u32>vector <= VECTOR_DEVICE_LAST) {
    const taken = pirqTaken(vector);
    hostApicEnd();
    if (taken) evtchnPirqRaise(<u32>(taken >> 32), <u32>taken);
  }
}

/** Takes and serves everything that is pending on this CPU, number `cpu`. */
export function interruptsDrain(cpu: u32): void {
  for (let vector = hw.takeInterrupt(); vector >= 0; vector = hw.takeInterrupt()) interruptHandle(cpu, vector);
}
