/** An AMD-Vi unit (AMD I/O Virtualization Technology, 3.08). */
import { PAGE } from "../ram.ts";
import { type Fault, IommuModel, type Reach } from "./model.ts";

const CONTROL = 0x18;
const COMMAND_HEAD = 0x2000;
const COMMAND_TAIL = 0x2008;
const EVENT_HEAD = 0x2010;
const EVENT_TAIL = 0x2018;
const STATUS = 0x2020;
const ENTRIES = 256;

export class AmdModel extends IommuModel {
  readonly base = 0xfed80000;
  readonly size = 4 * PAGE;
  private readonly registers = new DataView(new ArrayBuffer(4 * PAGE));

  constructor() {
    super(true);
  }

  table(): { signature: string; bytes: Uint8Array } {
    const base = new Uint8Array(new BigUint64Array([BigInt(this.base)]).buffer);
    const unit = [0x10, 0, 24, 0, 2, 0, 0x40, 0, ...base, 0, 0, 0, 0, 0, 0, 0, 0];
    return this.acpi("IVRS", [...Array<number>(12).fill(0), ...unit, 0x11, ...unit.slice(1)], 36);
  }

  get on(): boolean {
    return (this.read(CONTROL) & 1) !== 0;
  }

  private base64(register: number): bigint {
    return this.registers.getBigUint64(register, true) & 0x000ffffffffff000n;
  }

  read(register: number): number {
    return this.registers.getUint32(register, true);
  }

  write(register: number, value: number): void {
    if (this.dead) return;
    if (register === STATUS) this.registers.setUint32(STATUS, this.read(STATUS) & ~value, true);
    else this.registers.setUint32(register, value, true);
    if (register === COMMAND_TAIL && (this.read(CONTROL) & 0x1001) === 0x1001) this.run();
  }

  private run(): void {
    for (let head = this.read(COMMAND_HEAD) >> 4; head !== this.read(COMMAND_TAIL) >> 4;) {
      const at = this.base64(8) + BigInt(head * 16);
      this.command(this.ram.read64(at), this.ram.read64(at + 8n));
      this.commands++;
      head = (head + 1) % ENTRIES;
      this.registers.setUint32(COMMAND_HEAD, head << 4, true);
    }
  }

  private command(low: bigint, high: bigint): void {
    switch (Number(low >> 60n)) {
      case 1:
        if ((low & 1n) !== 0n) this.ram.write64(low & 0x000ffffffffffff8n, high);
        return;
      case 2:
        this.devices.delete(Number(low & 0xffffn));
        return;
      case 3: {
        const first = Number((high >> 12n) & 0xfffffffffffffn);
        if ((high & 1n) === 0n) {
          this.pages.delete(first);
          return;
        }
        let bits = 0;
        while (((high >> BigInt(12 + bits)) & 1n) !== 0n && bits < 51) bits++;
        if (bits >= 50) this.pages.clear();
        const size = 2 ** (bits + 1);
        for (const page of [...this.pages.keys()]) {
          if (Math.floor(page / size) === Math.floor(first / size)) this.pages.delete(page);
        }
        return;
      }
      default:
        throw new Error(`command 0x${low.toString(16)} is none`);
    }
  }

  protected device(requester: number): bigint | null {
    const table = this.registers.getBigUint64(0, true);
    const entries = (Number(table & 0x1ffn) + 1) * 128;
    if (requester >= entries) return null;
    const at = this.base64(0) + BigInt(requester * 32);
    const low = this.word(at);
    if ((low & 1n) === 0n) throw new Error(`requester ${requester} is passed through`);
    if ((low & 2n) === 0n) throw new Error(`requester ${requester} has no valid translation`);
    const mode = (low >> 9n) & 7n;
    if (((low >> 61n) & 3n) === 0n) return null;
    if (mode === 0n) throw new Error(`requester ${requester} reaches everything`);
    if ((this.word(at + 8n) & 0xffffn) === 0n) throw new Error("an attached device without a domain");
    return low;
  }

  protected walk(root: bigint, page: number): Reach | null {
    let entry = root;
    let level = Number((root >> 9n) & 7n);
    let write = true;
    if (page >= 512 ** level) return null;
    for (;;) {
      write &&= ((entry >> 62n) & 1n) === 1n;
      if (((entry >> 61n) & 1n) === 0n) return null;
      const next = this.word((entry & 0x000ffffffffff000n) + BigInt(Math.floor(page / 512 ** (level - 1)) % 512) * 8n);
      if ((next & 1n) === 0n) return null;
      const below = Number((next >> 9n) & 7n);
      if (below === 0) {
        write &&= ((next >> 62n) & 1n) === 1n;
        const within = page % 512 ** (level - 1);
        return { mfn: Number((next & 0x000ffffffffff000n) >> 12n) + within, write };
      }
      if (below !== level - 1) throw new Error("a table that skips a level");
      entry = next;
      level = below;
    }
  }

  protected record({ requester, address, write }: Fault): void {
    const tail = this.read(EVENT_TAIL) >> 4;
    const next = (tail + 1) % ENTRIES;
    if (next === this.read(EVENT_HEAD) >> 4 || (this.read(CONTROL) & 4) === 0) {
      this.registers.setUint32(STATUS, this.read(STATUS) | 1, true);
      return;
    }
    const at = this.base64(0x10) + BigInt(tail * 16);
    this.ram.write64(at, BigInt(requester) | (2n << 60n) | (write ? 1n << 53n : 0n));
    this.ram.write64(at + 8n, BigInt(address));
    this.registers.setUint32(EVENT_TAIL, next << 4, true);
  }
}
