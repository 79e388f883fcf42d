/** A machine's network card and disks: what `--nic`, `--forward` and `--disk` say, and what the emulators are told. */
import { closeSync, existsSync, ftruncateSync, openSync, statSync } from "node:fs";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import { SERIAL_LABEL } from "../abi/io/control-serial.ts";

/** Cards by the names that users know them by: QEMU's devices. */
export const NIC_DEVICES = { "virtio-net": "virtio-net-pci", e1000: "e1000", e1000e: "e1000e" } as const;
export type NicModel = keyof typeof NIC_DEVICES;
export const NIC_MODELS = Object.keys(NIC_DEVICES) as NicModel[];

/** IOMMUs by the names that users know them by: QEMU's devices. */
export const IOMMU_DEVICES = { intel: "intel-iommu", amd: "amd-iommu" } as const;
export type IommuModel = keyof typeof IOMMU_DEVICES;
export const IOMMU_MODELS = Object.keys(IOMMU_DEVICES) as IommuModel[];

/** A port of this computer's that is connected to one of a guest's. */
export interface Forward {
  protocol: "tcp" | "udp";
  hostPort: number;
  /** The guest's, on the machine's network. */
  address: string;
  port: number;
}

export interface Disk {
  file: string;
}

/** The emulated network: the machine's card is on it, this computer is its gateway. */
export const NETWORK = { net: "10.0.2.0/24", prefix: "10.0.2.", gateway: "10.0.2.2" } as const;
/** Hosts of the network that are the emulator's own: gateway, DNS and SMB server. */
const FIRST_HOST = 5;
const LAST_HOST = 254;

/** This computer's address that ports are bound to. */
const LOOPBACK = "127.0.0.1";
const SECTOR = 512;
const UNITS = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const;

function portNumber(text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new Error(`"${text}" is no port: a whole number from 1 to 65535.`);
  return port;
}

/** tcp|udp:HOSTPORT:ADDRESS:PORT. Throws an error that says what is wrong. */
export function parseForward(text: string): Forward {
  const parts = text.split(":");
  const [protocol, hostPort, address, port] = parts;
  if (parts.length !== 4 || (protocol !== "tcp" && protocol !== "udp")) {
    throw new Error("expected tcp|udp:HOSTPORT:ADDRESS:PORT, such as tcp:8080:10.0.2.10:80.");
  }
  const host = address!.startsWith(NETWORK.prefix) ? address!.slice(NETWORK.prefix.length) : "";
  if (!/^[1-9][0-9]{0,2}$/.test(host) || Number(host) < FIRST_HOST || Number(host) > LAST_HOST) {
    throw new Error(
      `"${address}" is no guest's address: the machine's network is ${NETWORK.net}, guests' addresses are ` +
        `${NETWORK.prefix}${FIRST_HOST} to ${NETWORK.prefix}${LAST_HOST}.`,
    );
  }
  return { protocol, hostPort: portNumber(hostPort!), address: address!, port: portNumber(port!) };
}

/** FILE or FILE:SIZE; the size such as 512M or 4G. A size that a file's name ends in is taken for one. */
export function parseDisk(text: string): { file: string; bytes?: number } {
  const match = /^(.+):([0-9]{1,12})([KMGT]?)$/i.exec(text);
  if (match === null) {
    if (text === "" || text.endsWith(":")) throw new Error("expected FILE or FILE:SIZE, such as disk.img:4G.");
    return { file: text };
  }
  const bytes = Number(match[2]) * UNITS[match[3]!.toUpperCase() as keyof typeof UNITS];
  if (bytes < SECTOR || bytes % SECTOR !== 0 || !Number.isSafeInteger(bytes)) {
    throw new Error(`a disk of ${bytes} bytes is no whole number of sectors of ${SECTOR} bytes, one or more.`);
  }
  return { file: match[1]!, bytes };
}

/**
 * A disk that is ready to be used: a file that is absent is made, sparse, when its size is given.
 * @throws Error in words: it is absent and no size is given, it has another size, or is no whole number of sectors
 */
export function openDisk({ file, bytes }: { file: string; bytes?: number }): Disk {
  if (!existsSync(file)) {
    if (bytes === undefined) {
      throw new Error(`--disk: there is no file ${file}; with a size it is made: --disk ${file}:1G`);
    }
    const made = openSync(file, "wx");
    try {
      ftruncateSync(made, bytes);
    } finally {
      closeSync(made);
    }
    return { file };
  }
  const status = statSync(file);
  if (!status.isFile()) throw new Error(`--disk: ${file} is not a regular file`);
  if (bytes !== undefined && status.size !== bytes) {
    throw new Error(`--disk: ${file} exists and has ${status.size} bytes, not ${bytes}; leave out the size to use it`);
  }
  if (status.size === 0 || status.size % SECTOR !== 0) {
    throw new Error(
      `--disk: ${file} has ${status.size} bytes: no whole number of sectors of ${SECTOR} bytes, one or more`,
    );
  }
  return { file };
}

async function isFree({ protocol, hostPort }: Forward): Promise<boolean> {
  if (protocol === "tcp") {
    const server = net.createServer();
    server.listen(hostPort, LOOPBACK);
    return await settled(server, "listening", () => server.close());
  }
  const socket = dgram.createSocket("udp4");
  socket.bind(hostPort, LOOPBACK);
  return await settled(socket, "listening", () => socket.close());
}

async function settled(emitter: NodeJS.EventEmitter, event: string, close: () => void): Promise<boolean> {
  try {
    await once(emitter, event); // throws what "error" is emitted with
  } catch {
    return false;
  }
  close();
  return true;
}

/** Refuses forwards of a port that is given twice, or that something else on this computer listens on. */
export async function checkForwards(forwards: Forward[]): Promise<void> {
  const seen = new Set<string>();
  for (const forward of forwards) {
    const name = `${forward.protocol} port ${forward.hostPort}`;
    if (seen.has(name)) throw new Error(`--forward: ${name} is given twice`);
    seen.add(name);
    if (!(await isFree(forward))) throw new Error(`--forward: ${name} of ${LOOPBACK} is in use; choose another one`);
  }
}

/** A value within one of QEMU's options: commas are doubled. */
function escaped(text: string): string {
  return text.replace(/,/g, ",,");
}

/**
 * QEMU's options for the IOMMU, the card and the disks; null: none.
 *
 * Virtio devices go through the IOMMU only when they are told so, which their legacy interface has no bit for.
 */
export function qemuDevices(
  nic: NicModel | null,
  forwards: Forward[],
  disks: Disk[],
  iommu: IommuModel | null = null,
): string[] {
  const args: string[] = iommu === null ? [] : ["-device", IOMMU_DEVICES[iommu]];
  const virtio = iommu === null ? "" : ",disable-legacy=on,iommu_platform=on";
  if (nic !== null) {
    const rules = forwards.map(
      ({ protocol, hostPort, address, port }) => `,hostfwd=${protocol}:${LOOPBACK}:${hostPort}-${address}:${port}`,
    );
    args.push("-netdev", `user,id=net0,net=${NETWORK.net}${rules.join("")}`);
    args.push("-device", `${NIC_DEVICES[nic]},netdev=net0${nic === "virtio-net" ? virtio : ""}`);
  }
  for (const [i, { file }] of disks.entries()) {
    args.push("-drive", `if=none,id=disk${i},format=raw,file=${escaped(file)}`);
    args.push("-device", `virtio-blk-pci,drive=disk${i}${virtio}`);
  }
  return args;
}

/**
 * QEMU's options for ports of a virtio console that lead to domain 0's control service.
 * @param sockets UNIX sockets that QEMU makes, one for each port
 */
export function qemuControlPorts(sockets: string[], iommu: IommuModel | null = null): string[] {
  if (sockets.length === 0) return [];
  const virtio = iommu === null ? "" : ",disable-legacy=on,iommu_platform=on";
  return [
    // Port 0 is not for these.
    ...["-device", `virtio-serial-pci,id=control,max_ports=${sockets.length + 1}${virtio}`],
    ...sockets.flatMap((file, i) => [
      ...["-chardev", `socket,id=control${i},path=${escaped(file)},server=on,wait=off`],
      ...["-device", `virtserialport,bus=control.0,chardev=control${i},name=${SERIAL_LABEL}.${i}`],
    ]),
  ];
}

/** Bochs' ATA channels, where the first device of the first is what is booted from: its second, then those of the others. */
const ATA_CHANNELS = [
  "ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
  "ioaddr1=0x170, ioaddr2=0x370, irq=15",
  "ioaddr1=0x1e8, ioaddr2=0x3e0, irq=11",
  "ioaddr1=0x168, ioaddr2=0x360, irq=9",
];
export const BOCHS_DISKS = 2 * ATA_CHANNELS.length - 1;

/** Lines of Bochs' configuration for the disks. @throws Error for more than it has room for */
export function bochsDisks(disks: Disk[]): string[] {
  if (disks.length > BOCHS_DISKS) throw new Error(`--disk: Bochs has room for ${BOCHS_DISKS} disks`);
  return disks.flatMap(({ file }, i) => {
    const channel = (i + 1) >> 1;
    const slave = (i + 1) % 2 === 1;
    // The first channel is on by itself.
    const enabled = channel > 0 && !slave ? [`ata${channel}: enabled=1, ${ATA_CHANNELS[channel]}`] : [];
    return [
      ...enabled,
      `ata${channel}-${slave ? "slave" : "master"}: type=disk, path="${file}", mode=flat, cylinders=0`,
    ];
  });
}

/** Bochs' own limit: its slirp module ignores what is beyond. */
export const BOCHS_FORWARDS = 5;

/**
 * Bochs' card, on the network of its module `slirp`, which needs no rights on this computer and has QEMU's addresses.
 * @param script the module's configuration file, to be written with `text`
 * @returns lines for bochsrc; the file's text
 */
export function bochsNic(forwards: Forward[], script: string): { lines: string[]; text: string } {
  const rules = forwards.map(
    ({ protocol, hostPort, address, port }) => `hostfwd = ${protocol}:${LOOPBACK}:${hostPort}-${address}:${port}`,
  );
  return {
    lines: [
      "pci: enabled=1, chipset=i440fx, slot1=e1000",
      `e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, script=${script}`,
    ],
    text: ["# slirp config", ...rules, ""].join("\n"),
  };
}

/**
 * Whether a machine can have that card and those forwarded ports.
 * @throws Error in words
 */
export function checkNic(bochs: boolean, nic: NicModel | null, forwards: Forward[]): void {
  if (nic === null && forwards.length > 0) {
    throw new Error(`--forward: there is no network card (--nic none)${bochs ? "; --nic e1000 gives Bochs one" : ""}`);
  }
  if (!bochs) return;
  if (nic !== null && nic !== "e1000") throw new Error(`--nic: Bochs has no ${nic}; it has an e1000`);
  if (forwards.length > BOCHS_FORWARDS) {
    throw new Error(`--forward: Bochs forwards ${BOCHS_FORWARDS} ports at most, not ${forwards.length}`);
  }
}

/** TCP ports of this computer's that nothing listens on, each another, as many as wanted: `first` and those behind it, or any. */
export async function freePorts(count: number, first?: number): Promise<number[]> {
  // All are held until there are enough: one that was let go of could be given again.
  const servers: net.Server[] = [];
  for (let port = first ?? 0; servers.length < count; port = first === undefined ? 0 : port + 1) {
    if (port > 65535) throw new Error("no port of this computer is free");
    const server = net.createServer().listen(port, LOOPBACK);
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(
    servers.map((server) => {
      server.close();
      return once(server, "close");
    }),
  );
  return ports;
}
