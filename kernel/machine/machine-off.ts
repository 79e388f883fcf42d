/** Turning the machine off. */
import { hvmCpuStop } from "../../arch-x86/hvm";
import * as hw from "../../arch-x86/hw";
import { say, sayEnd } from "../../arch-x86/log";
import { uartFlush } from "../../arch-x86/host/uart";
import { cpuOf, CPUS_MAX } from "../records/cpu";

/** Leaves virtualisation and powers the machine off or resets it. Does not return. */
export function machineStop(reboot: bool): void {
  say(reboot ? "Rebooting." : "Powering off.");
  sayEnd();
  for (let i: u32 = 0; i < CPUS_MAX; i++) if (cpuOf(i).online) hvmCpuStop(i);
  uartFlush();
  hw.machineOff(reboot ? 1 : 0);
}
