/**
 * A module of the I/O domain in Node: compiled with the options of the build, over a memory as large as its layout, which is
 * committed as it is touched. What leaves the sandbox is given by the test.
 */
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { ascCommand, buildIoWasm, IO, ioWasm } from "../../../scripts/build/assembly.ts";
import { runTool } from "../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../scripts/paths.ts";
import { IO_STABLE_END } from "../../../abi/io/layout.ts";

const WASM_PAGE = 65536;

/** What the test answers; what it leaves out traps when it is called. */
export interface IoImports {
  hypercall?(op: number, ...args: bigint[]): bigint;
  portIn?(port: number, size: number): number;
  portOut?(port: number, size: number, value: number): void;
  systemTime?(): bigint;
}

/** The compiled modules, by entry. */
const modules = new Map<string, Promise<WebAssembly.Module>>();

/**
 * Compiles an AssemblyScript file with all it imports; build/io.wasm itself for noxs/main.ts.
 * @param entry relative to the repository's root; it must import drivers/host/log.ts, for failed assertions
 */
export function compileIo(entry = IO.entry): Promise<WebAssembly.Module> {
  let module = modules.get(entry);
  if (module === undefined) modules.set(entry, (module = compile(entry)));
  return module;
}

async function compile(entry: string): Promise<WebAssembly.Module> {
  if (entry === IO.entry) {
    await buildIoWasm();
    return new WebAssembly.Module(readFileSync(ioWasm));
  }
  mkdirSync(buildFolder, { recursive: true });
  const out = path.join(buildFolder, `io-${entry.replace(/[^a-z0-9]+/g, "-")}-${process.pid}.wasm`);
  const [command, args] = ascCommand({ ...IO, entry }, ["-o", path.relative(fromRoot("."), out)]);
  await runTool(command, args);
  return new WebAssembly.Module(readFileSync(out));
}

export class IoModule<Exports extends object = { turn(): void }> {
  readonly memory = new WebAssembly.Memory({ initial: IO_STABLE_END / WASM_PAGE });
  readonly view = new DataView(this.memory.buffer);
  readonly bytes = new Uint8Array(this.memory.buffer);
  /** The module's exports; indirect functions are in `table`. */
  exports!: Exports & { start(): void; table: WebAssembly.Table };

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly imports: IoImports = {},
  ) {
    this.restart(0);
  }

  /**
   * Starts the module, as after a restart of the domain: its memory but for what is above `kept` is zero, then its data.
   * @param kept first address that stays as it is: IO_STABLE, or 0 when there is nothing to keep
   */
  restart(kept: number): void {
    if (kept !== 0) this.bytes.fill(0, 0, kept);
    const absent = (name: string) => () => {
      throw new Error(`the module called ${name}(), which the test does not answer`);
    };
    const { view, imports } = this;
    const exchange = (ptr: number, change: (old: number) => number): number => {
      const at = (ptr & ~3) >>> 0;
      const old = view.getUint32(at, true);
      view.setUint32(at, change(old) >>> 0, true);
      return old;
    };
    const io = {
      hypercall: imports.hypercall ?? absent("hypercall"),
      portIn: imports.portIn ?? (() => -1),
      portOut: imports.portOut ?? (() => {}),
      systemTime: imports.systemTime ?? (() => 0n),
      read8: (ptr: number) => view.getUint8(ptr >>> 0),
      read16: (ptr: number) => view.getUint16(ptr >>> 0, true),
      read32: (ptr: number) => view.getUint32(ptr >>> 0, true),
      read64: (ptr: number) => view.getBigUint64(ptr >>> 0, true),
      write8: (ptr: number, value: number) => view.setUint8(ptr >>> 0, value),
      write16: (ptr: number, value: number) => view.setUint16(ptr >>> 0, value, true),
      write32: (ptr: number, value: number) => view.setUint32(ptr >>> 0, value, true),
      write64: (ptr: number, value: bigint) => view.setBigUint64(ptr >>> 0, value, true),
      barrier: () => {},
      compareExchange32: (ptr: number, expected: number, value: number) =>
        exchange(ptr, (old) => (old === expected >>> 0 ? value : old)),
      fetchOr32: (ptr: number, bits: number) => exchange(ptr, (old) => old | bits),
      fetchAnd32: (ptr: number, bits: number) => exchange(ptr, (old) => old & bits),
    };
    const instance = new WebAssembly.Instance(this.module, { env: { memory: this.memory }, io } as never);
    this.exports = instance.exports as never;
    this.exports.start();
  }
}
