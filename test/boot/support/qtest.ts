/**
 * QEMU's qtest protocol beside a running machine: memory and devices' registers, read and written from outside. With it a test can tell
 * a device what no driver of ours would.
 */
import { once } from "node:events";
import net from "node:net";

/** Configuration space in memory, as QEMU's firmware places it on q35. */
const CONFIGURATION = 0xb0000000;
const COMMAND = 4;
const MEMORY_AND_MASTER = 6;
const FIRST_BAR = 0x10;

export class Qtest {
  private text = "";

  private constructor(private readonly socket: net.Socket) {
    socket.setEncoding("latin1");
    socket.on("data", (data: string) => (this.text += data));
  }

  static async open(path: string): Promise<Qtest> {
    const socket = net.connect(path);
    await once(socket, "connect");
    return new Qtest(socket);
  }

  close(): void {
    this.socket.destroy();
  }

  private async call(line: string): Promise<string> {
    this.text = "";
    this.socket.write(`${line}\n`);
    while (!this.text.includes("\n")) await once(this.socket, "data");
    const answer = this.text.split("\n")[0]!.split(" ");
    if (answer[0] !== "OK") throw new Error(`${line}: ${this.text}`);
    return answer[1] ?? "";
  }

  async write16(address: number, value: number): Promise<void> {
    await this.call(`writew 0x${address.toString(16)} 0x${value.toString(16)}`);
  }

  async write32(address: number, value: number): Promise<void> {
    await this.call(`writel 0x${address.toString(16)} 0x${value.toString(16)}`);
  }

  async write64(address: number, value: bigint): Promise<void> {
    await this.call(`writeq 0x${address.toString(16)} 0x${value.toString(16)}`);
  }

  async read32(address: number): Promise<number> {
    return Number(await this.call(`readl 0x${address.toString(16)}`));
  }

  async read64(address: number): Promise<bigint> {
    return BigInt(await this.call(`readq 0x${address.toString(16)}`));
  }

  /** Where the registers of the device in slot `slot` of bus 0 are: its first base address. */
  async registersOf(slot: number): Promise<number> {
    return ((await this.read32(CONFIGURATION + (slot << 15) + FIRST_BAR)) & ~15) >>> 0;
  }

  /** Lets that device decode its registers and be a bus master. */
  async enable(slot: number): Promise<void> {
    await this.write16(CONFIGURATION + (slot << 15) + COMMAND, MEMORY_AND_MASTER);
  }
}
