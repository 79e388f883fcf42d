import type { Image } from "../builder/image.ts";
import { bootModules } from "../boot-info.ts";
import { print } from "../console/output.ts";
import { readStack, type Stack } from "../dump/backtrace.ts";
import { frameReader, GuestMemory } from "../dump/guest-memory.ts";
import { decodeVcpus, type VcpuState } from "../dump/registers.ts";
import { openSymbols, type Symbols } from "../dump/symbols.ts";
import { shutdownReason } from "../domains/shutdown.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import {
  domainInfo,
  getHvmContext,
  pauseDomain,
  unpauseDomain,
  vcpuInfo,
  type VcpuInfo,
} from "../hypercalls/domctl.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";
import { namedDomain } from "./life.ts";
import { parseCount, parseOptions } from "../../api/options.ts";

/** Frames of the guest that are read for one vCPU at most: its stack, the code around, page tables. */
const FRAMES_MAX = 256;
/** Bytes of the stack that are shown, and of code. */
const STACK_BYTES = 128;
const CODE_BYTES = 16;

const GENERAL = [
  ["rax", "rbx", "rcx", "rdx"],
  ["rsi", "rdi", "rbp", "rsp"],
  ["r8", "r9", "r10", "r11"],
  ["r12", "r13", "r14", "r15"],
] as const;
const CONTROL = [
  ["cr0", "cr2", "cr3", "cr4"],
  ["dr6", "dr7", "msr_efer", "shadow_gs"],
] as const;

/** Registers that struct hvm_hw_cpu has other names for. */
const LABELS: Record<string, string> = { msr_efer: "efer", shadow_gs: "kgs_base" };

const digits = (value: bigint, width: number) => value.toString(16).padStart(width, "0");

function row(vcpu: VcpuState, names: readonly Parameters<VcpuState["register"]>[0][]): void {
  const shown = names.map((name) => `${(LABELS[name] ?? name).padStart(9)} ${digits(vcpu.register(name), 16)}`);
  print(`${shown.join("")}\n`);
}

function describeState({ shutdown, shutdownCode }: DomainInfo, { online, blocked, running }: VcpuInfo): string {
  if (!online) return "down";
  // Whatever it waits for, it does not run again.
  if (shutdown) return `shut down (${shutdownReason(shutdownCode)})`;
  return blocked ? "blocked" : running ? "running" : "waiting for a CPU";
}

/** Events pending for delivery to the guest, from its processor state. */
function pendingEvents(vcpu: VcpuState): string {
  const event = vcpu.word("pending_event");
  const parts: string[] = [];
  if (event >>> 31 !== 0) {
    const kind = ["interrupt", "event of type 1", "NMI", "exception"][(event >>> 8) & 7] ?? "software interrupt";
    const code = (event & 0x800) !== 0 ? `, error code ${vcpu.word("error_code").toString(16)}` : "";
    parts.push(`${kind} ${event & 0xff}${code}`);
  }
  const list = (vectors: number[]) => vectors.map((vector) => vector.toString(16)).join(" ");
  if (vcpu.requested.length > 0) parts.push(`local APIC: vectors ${list(vcpu.requested)} wait`);
  if (vcpu.inService.length > 0) parts.push(`local APIC: vectors ${list(vcpu.inService)} in service`);
  return parts.length === 0 ? "nothing" : parts.join("; ");
}

function showRegisters(vcpu: VcpuState): void {
  print(`      rip ${digits(vcpu.register("rip"), 16)}   rflags ${digits(vcpu.register("rflags"), 8)} ${vcpu.flags}\n`);
  for (const names of GENERAL) row(vcpu, names);
  for (const names of CONTROL) row(vcpu, names);
  for (const { name, selector, base, limit, attributes } of vcpu.segments) {
    const hidden = `base ${digits(base, 16)}  limit ${digits(BigInt(limit), 8)}  attributes ${digits(BigInt(attributes), 3)}`;
    print(`     ${name.padStart(4)} ${digits(BigInt(selector), 4)}  ${hidden}\n`);
  }
  for (const table of ["gdtr", "idtr"] as const) {
    const limit = digits(BigInt(vcpu.word(`${table}_limit`)), 4);
    print(`     ${table}       base ${digits(vcpu.register(`${table}_base`), 16)}  limit ${limit}\n`);
  }
  print(`  pending: ${pendingEvents(vcpu)}\n`);
}

function showMemory(memory: GuestMemory, vcpu: VcpuState, stack: Stack): void {
  const code = memory.read(vcpu, vcpu.linear("cs", vcpu.register("rip")), CODE_BYTES);
  const bytes = Array.from(code, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  print(`  code: ${bytes === "" ? "not mapped" : bytes}\n`);
  if (stack.words.length === 0) {
    print(`  stack: nothing is mapped at ${digits(stack.top, 16)}\n`);
    return;
  }
  print("  stack:\n");
  const perLine = 32 / stack.width;
  const shown = stack.words.slice(0, STACK_BYTES / stack.width);
  for (let i = 0; i < shown.length; i += perLine) {
    const line = shown.slice(i, i + perLine).map((word) => digits(word, 2 * stack.width));
    print(`    ${digits(stack.top + BigInt(i * stack.width), 16)}: ${line.join(" ")}\n`);
  }
}

function showCallers(vcpu: VcpuState, stack: Stack, symbols: Symbols | null): void {
  const addresses = [vcpu.register("rip"), ...stack.callers.map(({ address }) => address)];
  // A call may be its function's last instruction: the return address then belongs to the next function.
  const names = symbols?.(addresses.map((address, i) => (i === 0 || address === 0n ? address : address - 1n)));
  print("  call trace:\n");
  addresses.forEach((address, i) => {
    const symbol = names?.[i];
    const offset = symbol === undefined ? 0n : symbol.offset + (i === 0 ? 0n : 1n);
    const doubt = i === 0 || stack.callers[i - 1]!.sure ? "" : "? ";
    print(
      `    ${digits(address, 16)} ${doubt}${symbol === undefined ? "" : `${symbol.name}+0x${offset.toString(16)}`}`.trimEnd(),
    );
    print("\n");
  });
}

/** A boot module by its name, for its symbols. */
function symbolModule(name: string): Image {
  const found = bootModules().find((module) => module.name === name);
  if (found === undefined) throw new CommandError(`no boot module "${name}"`);
  return found;
}

export const xenctxCommand: Command = {
  name: "xenctx",
  usage: "ID [--vcpu N] [--symbols NAME]",
  summary: "show the registers and stacks of a domain's vCPUs",
  details: [
    "--vcpu     only this one",
    "--symbols  a boot module with the kernel's symbols: an ELF image, or the System.map of a Linux kernel;",
    "           without: those of the domain's own kernel, where its image has a symbol table",
    "The domain stands still meanwhile. In the call trace, addresses marked ? are words on the stack that follow a call in",
    "the guest's code: callers, or what earlier calls have left behind. The others come from frame pointers.",
  ],
  run(words, { domains }) {
    const options = { vcpu: { value: "N" }, symbols: { value: "NAME" } };
    const { values, rest } = parseOptions(words, options, ["ID"]);
    const domain = namedDomain(rest[0]!, domains);
    const given = values.get("symbols");
    const image = given === undefined ? domain.request?.kernel : symbolModule(given);
    const symbols = image === undefined ? null : openSymbols(image);
    if (given !== undefined && symbols === null) throw new CommandError(`${given} has no symbols that can be read`);
    const info = domainInfo(domain.id);
    pauseDomain(domain.id);
    try {
      const vcpus = decodeVcpus(getHvmContext(domain.id));
      const most = vcpus.length - 1;
      const only = values.has("vcpu") ? parseCount("--vcpu", values.get("vcpu")!, 0, most) : undefined;
      for (const vcpu of vcpus) {
        if (only !== undefined && vcpu.id !== only) continue;
        const state = describeState(info, vcpuInfo(domain.id, vcpu.id));
        const paging = vcpu.paging === "off" ? "no paging" : `${vcpu.paging} paging`;
        print(`${domain}, vCPU ${vcpu.id}: ${state}, ${vcpu.bits}-bit code, ring ${vcpu.ring}, ${paging}\n`);
        showRegisters(vcpu);
        const memory = new GuestMemory(frameReader(domain.id), FRAMES_MAX);
        const stack = readStack(memory, vcpu);
        showMemory(memory, vcpu, stack);
        showCallers(vcpu, stack, symbols);
        if (memory.exhausted)
          print(`  not all was read: the guest's tables spread it over more than ${FRAMES_MAX} frames\n`);
      }
    } finally {
      unpauseDomain(domain.id);
    }
  },
};
