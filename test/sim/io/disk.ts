/**
 * A virtio disk on the simulated machine, for the I/O domain's own driver: the model of the drivers' unit tests, behind a PCI function
 * whose configuration the hypervisor sees too, with MSI-X by the hypervisor's vectors and DMA to the machine's frames. It takes its
 * time, answers in any order, and fails at times. It may access only frames that the I/O domain has at that moment.
 */
import { VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_S_IOERR } from "../../../abi/io/virtio-blk.ts";
import { writeTable } from "../../unit/io/block/gpt-table.ts";
import type { IoMachine } from "../../unit/io/drivers/machine.ts";
import { blkConfig, VirtioBlkModel } from "../../unit/io/drivers/virtio-blk-model.ts";
import { PciBus, PciFunction } from "../pci.ts";
import { PAGE } from "../ram.ts";
import type { Random } from "../random.ts";
import { Violation } from "../svm-cpu.ts";
import { SECTOR, SECTORS } from "./block-front.ts";
import type { ModuleDomain, Registers } from "./module-domain.ts";

/** Bus 0, device 4. */
const ADDRESS = 4 << 3;
const MSIX_TABLE_BAR = 1;
const MSIX_CONTROL_ENABLE = 0x8000;
const MSIX_CONTROL_MASKED = 0x4000;
/** Capabilities are writable beyond what the drivers' model has written: the hypervisor writes MSI-X's control word. */
const CAPABILITIES = 0x40;
/** Partitions, each of which is one guest's disk, and their first sector. */
const PARTITIONS = 40;
const FIRST = 64;
const CAPACITY = FIRST + PARTITIONS * SECTORS + 64;

/** The function as the hypervisor's bus has it. */
class Plugged extends PciFunction {
  constructor(private readonly model: VirtioBlkModel) {
    super(ADDRESS, []);
  }

  override read(register: number, size: number): number {
    return this.model.configRead(register, size);
  }

  override write(register: number, size: number, value: number): void {
    if (register < CAPABILITIES) this.model.configWrite(register, size, value);
    else for (let i = 0; i < size; i++) this.model.config[register + i] = (value >>> (8 * i)) & 0xff;
  }
}

export class Disk implements Registers {
  readonly bus = new PciBus();
  private readonly model: VirtioBlkModel;
  private io: ModuleDomain | null = null;
  private partitions = 0;
  /** Where MSI-X's capability is in configuration space. */
  private readonly msix: number;

  constructor(private readonly random: Random) {
    this.model = new VirtioBlkModel({
      features: [VIRTIO_BLK_F_FLUSH],
      config: blkConfig({ capacity: BigInt(CAPACITY) }),
    });
    const { model } = this;
    model.keep = true;
    model.machine = {
      violation: (what: string) => {
        throw new Violation(`the driver of the disk: ${what}`);
      },
      gives: { msix: true },
      dma: (_fn: unknown, address: bigint, bytes: number) => this.dma(Number(address), bytes),
    } as unknown as IoMachine;
    model.vectors.set(0, 1);
    model.interrupt = (vector) => this.interrupt(vector);
    this.bus.add(new Plugged(model));
    this.msix = this.capability(0x11);
    const disk = {
      sectors: CAPACITY,
      corrupt: (sector: number, change: (data: Buffer) => void) => {
        change(model.data.subarray(sector * SECTOR, (sector + 1) * SECTOR));
      },
    };
    writeTable(
      disk as never,
      Array.from({ length: PARTITIONS }, (_, i) => {
        const first = FIRST + i * SECTORS;
        return { name: `guest${i}`, first, last: first + SECTORS - 1 };
      }),
    );
    model.data.copy(model.stable);
  }

  private capability(id: number): number {
    let at = this.model.config[0x34]!;
    while (this.model.config[at] !== id) at = this.model.config[at + 1]!;
    return at;
  }

  attach(io: ModuleDomain): void {
    this.io = io;
    io.registers = this;
  }

  /** The label of a partition that nobody has had; null when there is none left. */
  take(): string | null {
    return this.partitions < PARTITIONS ? `guest${this.partitions++}` : null;
  }

  /** What is on the disk for good of a sector of a partition. */
  stable(label: string, sector: number): Buffer {
    const at = (FIRST + Number(label.slice(5)) * SECTORS + sector) * SECTOR;
    return this.model.stable.subarray(at, at + SECTOR);
  }

  private interrupt(vector: number): void {
    const control = this.model.view.getUint16(this.msix + 2, true);
    if ((control & MSIX_CONTROL_ENABLE) === 0 || (control & MSIX_CONTROL_MASKED) !== 0) return;
    const entry = Number(this.model.bars[MSIX_TABLE_BAR]!.base) + vector * 16;
    if (((this.bus.registers.get(entry + 12) ?? 1) & 1) !== 0) return;
    this.bus.vectors.push(this.bus.registers.get(entry + 8)! & 0xff);
  }

  private dma(address: number, bytes: number): Uint8Array | null {
    if (!this.model.masters) return null;
    const { machine } = this.io!;
    for (let frame = Math.floor(address / PAGE); frame * PAGE < address + bytes; frame++) {
      if (!this.io!.has(frame)) {
        throw new Violation(`the disk accesses frame ${frame}, which the I/O domain does not have`);
      }
    }
    const at = machine.ram.at(address, bytes);
    return machine.ram.bytes.subarray(at, at + bytes);
  }

  /** Carries out some of what it was asked for, in any order. */
  work(failing: boolean): void {
    const { model, random } = this;
    if (!model.masters || !model.running) return;
    for (let n = random.below(4); n > 0 && model.kept.length > 0; n--) {
      const [request] = model.kept.splice(random.below(model.kept.length), 1);
      const rest = model.kept.splice(0);
      model.kept.push(request!);
      model.statusAlways = failing && random.oneIn(24) ? VIRTIO_BLK_S_IOERR : null;
      model.release();
      model.kept.push(...rest);
    }
    model.statusAlways = null;
  }

  // --- Its registers ----------------------------------------------------------------------------------------------------------

  private at(address: number): { bar: number; offset: number } | null {
    for (const [bar, b] of this.model.bars.entries()) {
      if (b !== null && address >= Number(b.base) && address < Number(b.base) + b.size) {
        return { bar, offset: address - Number(b.base) };
      }
    }
    return null;
  }

  read(address: number, size: number): number | bigint {
    const at = this.at(address);
    return at === null ? 0xffffffff : this.model.barRead(at.bar, at.offset, size);
  }

  write(address: number, size: number, value: number | bigint): void {
    const at = this.at(address);
    if (at !== null) this.model.barWrite(at.bar, at.offset, size, value);
  }
}
