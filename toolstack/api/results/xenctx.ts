/** `xenctx` for people: registers in rows, code, stack, call trace. */
import * as v from "valibot";

const text = v.string();
const number = v.number();
/** Hexadecimal digits, with leading zeroes. */
const hexadecimal = v.pipe(text, v.description("hexadecimal"));

const segment = v.object({
  name: text,
  selector: hexadecimal,
  base: hexadecimal,
  limit: hexadecimal,
  attributes: hexadecimal,
});

const vcpu = v.object({
  vcpu: number,
  state: text,
  /** Width of the code that runs. */
  bits: number,
  ring: number,
  paging: text,
  registers: v.record(text, hexadecimal),
  /** Names of the flags that are set. */
  flags: text,
  segments: v.array(segment),
  tables: v.array(v.object({ name: text, base: hexadecimal, limit: hexadecimal })),
  /** Events that wait for it. */
  pending: text,
  /** Bytes from its instruction pointer on; empty: not mapped. */
  code: hexadecimal,
  stack: v.object({ top: hexadecimal, wordBytes: number, words: v.array(hexadecimal) }),
  /** Where it is, then its callers; one that is not sure may be a leftover of earlier calls. */
  calls: v.array(v.object({ address: hexadecimal, symbol: v.nullable(text), sure: v.boolean() })),
  /** null, or why not everything is there. */
  missing: v.nullable(text),
});

export const domainContext = v.object({ id: number, name: text, vcpus: v.array(vcpu) });

export type VcpuContext = v.InferOutput<typeof vcpu>;
export type DomainContext = v.InferOutput<typeof domainContext>;

const GENERAL = [
  ["rax", "rbx", "rcx", "rdx"],
  ["rsi", "rdi", "rbp", "rsp"],
  ["r8", "r9", "r10", "r11"],
  ["r12", "r13", "r14", "r15"],
] as const;
const CONTROL = [
  ["cr0", "cr2", "cr3", "cr4"],
  ["dr6", "dr7", "efer", "kgs_base"],
] as const;
/** Bytes of the stack in a line. */
const STACK_LINE = 32;

function row(registers: VcpuContext["registers"], names: readonly string[]): string {
  return names.map((name) => `${name.padStart(9)} ${registers[name] ?? "?"}`).join("");
}

function* registerLines(vcpu: VcpuContext): Generator<string> {
  const { registers } = vcpu;
  yield `      rip ${registers.rip}   rflags ${registers.rflags} ${vcpu.flags}`;
  for (const names of [...GENERAL, ...CONTROL]) yield row(registers, names);
  for (const { name, selector, base, limit, attributes } of vcpu.segments)
    yield `     ${name.padStart(4)} ${selector}  base ${base}  limit ${limit}  attributes ${attributes}`;
  for (const { name, base, limit } of vcpu.tables) yield `     ${name}       base ${base}  limit ${limit}`;
  yield `  pending: ${vcpu.pending}`;
}

function* memoryLines({ code, stack }: VcpuContext): Generator<string> {
  yield `  code: ${code === "" ? "not mapped" : code.replace(/..(?=.)/g, "$& ")}`;
  if (stack.words.length === 0) {
    yield `  stack: nothing is mapped at ${stack.top}`;
    return;
  }
  yield "  stack:";
  const perLine = STACK_LINE / stack.wordBytes;
  for (let i = 0; i < stack.words.length; i += perLine) {
    const address = (BigInt(`0x${stack.top}`) + BigInt(i * stack.wordBytes)).toString(16).padStart(16, "0");
    yield `    ${address}: ${stack.words.slice(i, i + perLine).join(" ")}`;
  }
}

export function* xenctxLines({ id, name, vcpus }: DomainContext): Generator<string> {
  for (const vcpu of vcpus) {
    const paging = vcpu.paging === "off" ? "no paging" : `${vcpu.paging} paging`;
    yield `domain ${id} (${name}), vCPU ${vcpu.vcpu}: ${vcpu.state}, ${vcpu.bits}-bit code, ring ${vcpu.ring}, ${paging}`;
    yield* registerLines(vcpu);
    yield* memoryLines(vcpu);
    yield "  call trace:";
    for (const { address, symbol, sure } of vcpu.calls)
      yield `    ${address} ${sure ? "" : "? "}${symbol ?? ""}`.trimEnd();
    if (vcpu.missing !== null) yield `  not all was read: ${vcpu.missing}`;
  }
}
