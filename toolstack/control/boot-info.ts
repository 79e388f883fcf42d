/**
 * Domain 0's boot parameters: its command line and the boot modules, from the hvm_start_info written by the
 * hypervisor. A module's name is the first word of its command line, without the folder.
 */
import { HvmModlistEntry, HvmStartInfo } from "../../abi/hvm.ts";
import { DOM0_START_INFO } from "../../abi/domain0-layout.ts";
import { KEY_MODULE, SEED_MODULE } from "../api/key.ts";
import { WindowImage } from "./builder/image.ts";
import { memory } from "./host.ts";
import { decodeUtf8 } from "./text.ts";
import { load64, PAGE_SIZE, type MachineWindow } from "./window.ts";

/** A NUL-terminated string, read page by page: memory after its last page need not be mapped. */
function readText(address: number): string {
  const bytes: number[] = [];
  for (let at = address; at !== 0;) {
    const piece = memory.read(at, PAGE_SIZE - (at % PAGE_SIZE));
    const end = piece.indexOf(0);
    const part = end < 0 ? piece : piece.subarray(0, end);
    if (end >= 0 && bytes.length === 0) return decodeUtf8(part); // as good as always
    bytes.push(...part);
    at = end < 0 ? at + piece.length : 0;
  }
  return decodeUtf8(Uint8Array.from(bytes));
}

/** Typevisor's own command line. */
export function commandLine(): string {
  return readText(load64(memory, DOM0_START_INFO + HvmStartInfo.cmdline_paddr));
}

/** The value of `name=value` on the command line; a later one wins; undefined when there is none. */
export function bootOption(name: string): string | undefined {
  let value: string | undefined;
  for (const word of commandLine().split(/\s+/)) {
    if (word.startsWith(`${name}=`)) value = word.slice(name.length + 1);
  }
  return value;
}

/** Modules that are for domain 0 alone: neither listed nor given to guests. */
const OWN = new Set([KEY_MODULE, SEED_MODULE]);

interface Modules {
  /** Where they were read: there are several machines only in tests. */
  window: MachineWindow;
  own: ReadonlyMap<string, WindowImage>;
  inOrder: readonly WindowImage[];
  byName: ReadonlyMap<string, WindowImage>;
}

let known: Modules | undefined;

/** Modules never change: they are read once. */
function modulesOnce(): Modules {
  if (known?.window === memory) return known;
  const all = readModules();
  const inOrder = all.filter(({ name }) => !OWN.has(name));
  const own = new Map(all.filter(({ name }) => OWN.has(name)).map((module) => [module.name, module]));
  const byName = new Map([...inOrder].reverse().map((module) => [module.name, module]));
  return (known = { window: memory, own, inOrder, byName });
}

/** The boot modules, in the order they were given. */
export function bootModules(): readonly WindowImage[] {
  return modulesOnce().inOrder;
}

/** A boot module by name; of several the first one. */
export function findModule(name: string): WindowImage | undefined {
  return modulesOnce().byName.get(name);
}

/** A module for domain 0 itself. */
export function ownModule(name: string): WindowImage | undefined {
  return modulesOnce().own.get(name);
}

function readModules(): WindowImage[] {
  const modules: WindowImage[] = [];
  const list = load64(memory, DOM0_START_INFO + HvmStartInfo.modlist_paddr);
  for (let i = 0; i < memory.load32(DOM0_START_INFO + HvmStartInfo.nr_modules); i++) {
    const entry = list + i * HvmModlistEntry.SIZE;
    const words = readText(load64(memory, entry + HvmModlistEntry.cmdline_paddr))
      .trim()
      .split(/\s+/);
    const name = words[0]!.replace(/^.*\//, "") || `module${i}`;
    const address = load64(memory, entry + HvmModlistEntry.paddr);
    modules.push(new WindowImage(name, address, load64(memory, entry + HvmModlistEntry.size)));
  }
  return modules;
}
