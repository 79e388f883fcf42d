import { CommandError } from "../../api/command-error.ts";
import { hexOf } from "../../api/hex.ts";
import { checkBounds } from "../../api/options.ts";
import { xenctxRequest } from "../../api/requests/inspect.ts";
import type { VcpuContext } from "../../api/results/xenctx.ts";
import { bootModules } from "../boot-info.ts";
import type { Image } from "../builder/image.ts";
import { shutdownReason } from "../domains/shutdown.ts";
import { readStack, type Stack } from "../dump/backtrace.ts";
import { frameReader, GuestMemory } from "../dump/guest-memory.ts";
import { decodeVcpus, type VcpuState } from "../dump/registers.ts";
import { openSymbols, type Symbols } from "../dump/symbols.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import {
  domainInfo,
  getHvmContext,
  pauseDomain,
  unpauseDomain,
  vcpuInfo,
  type VcpuInfo,
} from "../hypercalls/domctl.ts";
import { handler } from "./handler.ts";
import { namedDomain } from "./life.ts";
import { requestCommand } from "./request-command.ts";

/** Frames of the guest that are read for one vCPU at most: its stack, the code around, page tables. */
const FRAMES_MAX = 256;
/** Bytes of the stack that are shown, and of code. */
const STACK_BYTES = 128;
const CODE_BYTES = 16;

const REGISTERS = [
  ...["rip", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"],
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
  ...["cr0", "cr2", "cr3", "cr4", "dr6", "dr7", "msr_efer", "shadow_gs"],
] as Parameters<VcpuState["register"]>[0][];

/** Registers that struct hvm_hw_cpu has other names for. */
const LABELS: Record<string, string> = { msr_efer: "efer", shadow_gs: "kgs_base" };

const digits = (value: bigint | number, width: number) => value.toString(16).padStart(width, "0");

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

function registersOf(vcpu: VcpuState): Record<string, string> {
  const registers: Record<string, string> = { rflags: digits(vcpu.register("rflags"), 8) };
  for (const name of REGISTERS) registers[LABELS[name] ?? name] = digits(vcpu.register(name), 16);
  return registers;
}

/** Where it is, and its callers. */
function callsOf(vcpu: VcpuState, stack: Stack, symbols: Symbols | null): VcpuContext["calls"] {
  const addresses = [vcpu.register("rip"), ...stack.callers.map(({ address }) => address)];
  // A call may be its function's last instruction: the return address then belongs to the next function.
  const names = symbols?.(addresses.map((address, i) => (i === 0 || address === 0n ? address : address - 1n)));
  return addresses.map((address, i) => {
    const symbol = names?.[i];
    const offset = symbol === undefined ? 0n : symbol.offset + (i === 0 ? 0n : 1n);
    return {
      address: digits(address, 16),
      symbol: symbol === undefined ? null : `${symbol.name}+0x${offset.toString(16)}`,
      sure: i === 0 || stack.callers[i - 1]!.sure,
    };
  });
}

function contextOf(id: number, info: DomainInfo, vcpu: VcpuState, symbols: Symbols | null): VcpuContext {
  const memory = new GuestMemory(frameReader(id), FRAMES_MAX);
  const stack = readStack(memory, vcpu);
  const calls = callsOf(vcpu, stack, symbols);
  const code = memory.read(vcpu, vcpu.linear("cs", vcpu.register("rip")), CODE_BYTES);
  const words = stack.words.slice(0, STACK_BYTES / stack.width).map((word) => digits(word, 2 * stack.width));
  return {
    vcpu: vcpu.id,
    state: describeState(info, vcpuInfo(id, vcpu.id)),
    bits: vcpu.bits,
    ring: vcpu.ring,
    paging: vcpu.paging,
    registers: registersOf(vcpu),
    flags: vcpu.flags,
    segments: vcpu.segments.map(({ name, selector, base, limit, attributes }) => ({
      name,
      selector: digits(selector, 4),
      base: digits(base, 16),
      limit: digits(limit, 8),
      attributes: digits(attributes, 3),
    })),
    tables: (["gdtr", "idtr"] as const).map((name) => ({
      name,
      base: digits(vcpu.register(`${name}_base`), 16),
      limit: digits(vcpu.word(`${name}_limit`), 4),
    })),
    pending: pendingEvents(vcpu),
    code: hexOf(code),
    stack: { top: digits(stack.top, 16), wordBytes: stack.width, words },
    calls,
    missing: memory.exhausted ? `the guest's tables spread it over more than ${FRAMES_MAX} frames` : null,
  };
}

/** A boot module by its name, for its symbols. */
function symbolModule(name: string): Image {
  const found = bootModules().find((module) => module.name === name);
  if (found === undefined) throw new CommandError(`no boot module "${name}"`);
  return found;
}

export const xenctxCommand = requestCommand(
  handler(xenctxRequest, ({ id, vcpu: only, symbols: given }, { domains }) => {
    const domain = namedDomain(id, domains);
    const image = given === undefined ? domain.request?.kernel : symbolModule(given);
    const symbols = image === undefined ? null : openSymbols(image);
    if (given !== undefined && symbols === null) throw new CommandError(`${given} has no symbols that can be read`);
    const info = domainInfo(domain.id);
    pauseDomain(domain.id);
    try {
      const vcpus = decodeVcpus(getHvmContext(domain.id));
      if (only !== undefined) checkBounds("--vcpu", only, 0, vcpus.length - 1);
      const wanted = vcpus.filter((vcpu) => only === undefined || vcpu.id === only);
      return {
        id: domain.id,
        name: domain.name,
        vcpus: wanted.map((vcpu) => contextOf(domain.id, info, vcpu, symbols)),
      };
    } finally {
      unpauseDomain(domain.id);
    }
  }),
);
