/** The control plane on the fake machine, with a kernel and a ramdisk as boot modules: set-up for tests of sessions. */
import { XenconsInterface as X } from "../../../abi/console.ts";
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN } from "../../../abi/hvm.ts";
import type { FakeDomain } from "./fake-domain.ts";
import { FakeMachine } from "./fake-machine.ts";
import { makeElf } from "./make-elf.ts";

export const kernel = makeElf({
  segments: [
    { address: 0x100000, data: Buffer.from("code of the guest") },
    { address: 0x102345, data: Buffer.alloc(5000, 0x5a), memorySize: 9000 },
  ],
}).bytes;

/** Frames of a small guest beyond its RAM: its console, its store's ring, its ACPI tables. */
export const BEYOND_RAM = 3;

/** Prints on the guest's console ring and notifies domain 0. */
export function guestPrints(machine: FakeMachine, domain: FakeDomain, text: string): void {
  const page = domain.frames.get(domain.params.get(HVM_PARAM_CONSOLE_PFN)!)!;
  const view = new DataView(page.buffer, page.byteOffset);
  let producer = view.getUint32(X.out_prod, true);
  for (const byte of Buffer.from(text)) page[X.out + (producer++ % 2048)] = byte;
  view.setUint32(X.out_prod, producer, true);
  machine.notifyFrom(domain, domain.params.get(HVM_PARAM_CONSOLE_EVTCHN)!);
}

/** The guest's end of its console ring. */
export function guestRing(domain: FakeDomain): { used(): number } {
  const page = domain.frames.get(domain.params.get(HVM_PARAM_CONSOLE_PFN)!)!;
  const view = new DataView(page.buffer, page.byteOffset);
  return { used: () => (view.getUint32(X.out_prod, true) - view.getUint32(X.out_cons, true)) >>> 0 };
}

export function machine(commandLine = "", freeMib?: number): FakeMachine {
  const m = new FakeMachine(commandLine, freeMib);
  m.addModule("hello", kernel);
  m.addModule("initrd", Buffer.alloc(10000, 0x77));
  return m;
}

/** A machine whose guests print `text` and shut down with `code`. */
export function machineWith(commandLine: string, text: string, code: number): FakeMachine {
  const m = machine(commandLine);
  m.guest = (domain) => {
    guestPrints(m, domain, text);
    m.shutdownGuest(domain, code);
  };
  return m;
}

export const exec = (commands: string) => `exec=${encodeURIComponent(commands)}`;

/** Runs commands in exec mode to the end and returns the output, lines ended with "\n". */
export async function runExec(m: FakeMachine): Promise<string> {
  await m.boot();
  for (let i = 0; i < 50 && m.ended === null; i++) await m.pass(100);
  return m.takeOutput().replaceAll("\r\n", "\n");
}
