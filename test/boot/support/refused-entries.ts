/**
 * Guests in states that no processor enters. Domain 0 gives them such registers, which the hypervisor lets through when it
 * was booted with `unchecked-entry`; each ends alone, and why is said on the console and in the log.
 */
import type { ExecutionContext } from "ava";
import { HvmHwCpu, HvmSaveDescriptor, HvmSaveHeader } from "../../../abi/hvm.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { COMMAND_MS, evaluate, type MACHINES } from "./boot.ts";

/** Where a vCPU's registers begin among the records of gethvmcontext: behind HEADER, in the first CPU. */
const REGISTERS = 2 * HvmSaveDescriptor.SIZE + HvmSaveHeader.SIZE;
/**
 * Words of struct hvm_hw_cpu with their new values, and what is said when the vCPU is entered. QEMU writes its own control
 * registers into a VMCB that it refuses for the guest's: nothing can be said of those there.
 */
const STATES: Record<(typeof MACHINES)[number], [[number, number][], string][]> = {
  "qemu-svm": [
    [[[HvmHwCpu.pending_event, 0x80000106]], "VMCB EVENTINJ = 0x80000106: the event's type is reserved."],
    [[[HvmHwCpu.pending_event, 0x80000320]], "VMCB EVENTINJ = 0x80000320: an exception has a vector above 31."],
    [
      [
        [HvmHwCpu.cr0, 0x80000011],
        [HvmHwCpu.cr4, 0x20],
        [HvmHwCpu.msr_efer, 0x500],
        [HvmHwCpu.cs_arbytes, 0xe9b],
      ],
      "guest CS attributes = 0xe9b: L and D are both set in long mode.",
    ],
  ],
  "bochs-vmx": [
    [[[HvmHwCpu.ss_arbytes, 0xc9b]], "guest SS access rights = 0xc09b: it is no accessed, writable data segment."],
    [[[HvmHwCpu.tr_arbytes, 0x89]], "guest TR access rights = 0x89: it is no busy task state segment."],
    [[[HvmHwCpu.rip + 4, 1]], "it has bits above 31 outside 64-bit code."],
    [
      [[HvmHwCpu.pending_event, 0x80000106]],
      "VM-entry interruption information = 0x80000106: the event's type is reserved.",
    ],
    [
      [[HvmHwCpu.cr3 + 4, 0x8000]],
      "guest CR3 = 0x800000000000: it has bits beyond the processor's physical addresses.",
    ],
  ],
};

/** Makes the guests one after the other, on a machine booted with `unchecked-entry`. */
export async function expectRefusedEntries(
  t: ExecutionContext,
  machine: Machine,
  kind: (typeof MACHINES)[number],
): Promise<void> {
  for (const [changes, words] of STATES[kind]) {
    const spoil = changes.map(([offset, value]) => `view.setUint32(${REGISTERS + offset}, ${value}, true);`).join(" ");
    const from = machine.output.length;
    const script = `(async () => {
      const kernel = modules.find((m) => m.name === "hello");
      const guest = await domains.create({ kernel, commandLine: "", memoryMib: 16, vcpus: 1 });
      const all = domctl.getHvmContext(guest.id);
      const view = new DataView(all.buffer);
      ${spoil}
      domctl.loadHvmContext(guest.id, all);
      globalThis.ended = new Promise((resolve) => guest.onEnd((reason) => resolve(guest.id)));
      domains.unpause(guest);
      return await ended;
    })()`;
    await machine.command(`js ${script.replace(/\n\s*/g, " ")}`, COMMAND_MS);
    const id = await evaluate<number>(machine, "await ended");
    const report = `d${id}v0: VM entry failed: `;
    const said = machine.output.slice(from);
    const line = said.split("\n").find((text) => text.includes(report)) ?? said;
    t.true(line.includes(words), `${words}\n${line}`);
    t.regex(said, new RegExp(`domain ${id} \\(\\w+\\) has ended: crash`));
    const log = await machine.command("dmesg", COMMAND_MS);
    t.true(log.includes(line.trim()), `the log has: ${line}`);
  }
}
