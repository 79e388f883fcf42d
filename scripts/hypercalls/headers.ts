/** Xen's hypercalls and their sub-operations as its public headers (Debian's libxen-dev) number them. */
import { readFileSync } from "node:fs";
import path from "node:path";

const HEADERS = "/usr/include/xen";

export interface Numbered {
  name: string;
  number: number;
}

export interface Hypercall extends Numbered {
  operations: Numbered[];
}

/** Where the sub-operations of a hypercall are: a header, what their names begin with, and which names are something else. */
interface Source {
  header: string;
  prefix: string;
  except?: RegExp;
  /** Lines between which the numbers stand, where the header is full of names with the same beginning. */
  between?: [RegExp, RegExp];
}

const SOURCES: Record<string, Source | undefined> = {
  memory_op: { header: "memory.h", prefix: "XENMEM_", except: /^XENMEM_(resource_|(access|paging|sharing)_op_|RDM_)/ },
  xen_version: { header: "version.h", prefix: "XENVER_" },
  console_io: { header: "xen.h", prefix: "CONSOLEIO_" },
  grant_table_op: { header: "grant_table.h", prefix: "GNTTABOP_" },
  vm_assist: { header: "xen.h", prefix: "VMASST_CMD_" },
  vcpu_op: { header: "vcpu.h", prefix: "VCPUOP_" },
  sched_op: { header: "sched.h", prefix: "SCHEDOP_" },
  event_channel_op: { header: "event_channel.h", prefix: "EVTCHNOP_" },
  physdev_op: { header: "physdev.h", prefix: "PHYSDEVOP_", except: /^PHYSDEVOP_(IRQ|DBGP)_/ },
  hvm_op: { header: "hvm/hvm_op.h", prefix: "HVMOP_", except: /^HVMOP_(altp2m_|TRAP_|vmtrace)/ },
  sysctl: {
    header: "sysctl.h",
    prefix: "XEN_SYSCTL_",
    between: [/^struct xen_sysctl \{/, /interface_version/],
  },
  domctl: {
    header: "domctl.h",
    prefix: "XEN_DOMCTL_",
    between: [/^struct xen_domctl \{/, /interface_version/],
  },
};

/** Architecture-specific numbers: x86's. */
const X86_NAMES: Record<string, string | undefined> = { arch_0: "mca", arch_1: "paging_domctl_cont" };

function read(header: string): string[] {
  return readFileSync(path.join(HEADERS, header), "utf8").split("\n");
}

/** Every `#define PREFIXname number` of some lines, ascending, each number under its first name. */
function defines(lines: string[], prefix: string): Numbered[] {
  const found: Numbered[] = [];
  for (const line of lines) {
    const match = /^\s*#\s*define\s+(\w+)\s+\(?(0x[0-9a-fA-F]+|\d+)U?\)?\s*(\/\*.*)?$/.exec(line);
    if (!match?.[1]?.startsWith(prefix)) continue;
    const number = Number(match[2]);
    if (!found.some((f) => f.number === number)) found.push({ name: match[1], number });
  }
  return found.sort((a, b) => a.number - b.number);
}

function operationsOf(hypercall: string): Numbered[] {
  const source = SOURCES[hypercall];
  if (!source) return [];
  let lines = read(source.header);
  if (source.between) {
    const start = lines.findIndex((line) => source.between![0].test(line));
    const length = lines.slice(start).findIndex((line) => source.between![1].test(line));
    lines = lines.slice(start, start + length);
  }
  return defines(
    lines.filter((line) => !source.except?.test(line.trim().split(/\s+/)[1] ?? "")),
    source.prefix,
  );
}

/** All of them. Throws where the headers are not installed. */
export function hypercallsOfXen(): Hypercall[] {
  return defines(read("xen.h"), "__HYPERVISOR_")
    .map(({ name, number }) => ({ name: name.slice("__HYPERVISOR_".length), number }))
    .filter(({ name }) => !/^arch_/.test(name) || X86_NAMES[name] !== undefined)
    .map(({ name, number }) => {
      const known = X86_NAMES[name] ?? name;
      return { name: known, number, operations: operationsOf(known) };
    });
}
