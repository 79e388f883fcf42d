/**
 * Where machines that were started on this computer can be reached: a file for each, and its key, in a folder of the user's that ends with
 * the session (XDG_RUNTIME_DIR), or one in the temporary folder.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { SERIAL_PORTS } from "../../../abi/io/control-serial.ts";

/** Where it is reached: over TCP, or through UNIX sockets of serial ports, each of which takes one client at a time. */
export type Place = { address: string; port: number } | { sockets: string[] };

export type MachineRecord = Place & {
  name: string;
  keyFile: string;
  /** The process that runs it: without it the record is stale. */
  pid: number;
};

/** A place for people. */
export function placeText(place: Place): string {
  return "sockets" in place ? `unix:${place.sockets[0]}` : `${place.address}:${place.port}`;
}

/** A machine's name: part of a file's name, and told from an address. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

export function isMachineName(text: string): boolean {
  return NAME.test(text);
}

/** The folder, made if it is not there; nobody else can look into it. Throws when it is somebody else's. */
export function runtimeFolder(): string {
  const base = process.env.XDG_RUNTIME_DIR;
  const own = os.userInfo().uid;
  const folder =
    base !== undefined && path.isAbsolute(base) && existsSync(base)
      ? path.join(base, "typevisor")
      : path.join(os.tmpdir(), `typevisor-${own}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const status = lstatSync(folder);
  if (!status.isDirectory() || status.uid !== own) throw new Error(`${folder} is not a folder of yours: remove it`);
  chmodSync(folder, 0o700);
  return folder;
}

const recordFile = (name: string) => path.join(runtimeFolder(), `${name}.json`);

/** The UNIX sockets for a machine's serial ports. */
export function socketFilesOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => path.join(runtimeFolder(), `${name}.${i}.sock`));
}

/** The file for a machine's key. */
export function keyFileOf(name: string): string {
  return path.join(runtimeFolder(), `${name}.key`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The machines that run, by name; what is left of others is removed. */
export function listMachines(): MachineRecord[] {
  const found: MachineRecord[] = [];
  for (const file of readdirSync(runtimeFolder()).filter((name) => name.endsWith(".json"))) {
    let record: MachineRecord;
    try {
      record = JSON.parse(readFileSync(path.join(runtimeFolder(), file), "utf8")) as MachineRecord;
    } catch {
      continue; // being written, or none of ours
    }
    if (isAlive(record.pid)) found.push(record);
    else removeMachine(record.name);
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Makes a machine known. */
export function recordMachine(record: MachineRecord): void {
  writeFileSync(recordFile(record.name), `${JSON.stringify(record)}\n`, { mode: 0o600 });
}

export function removeMachine(name: string): void {
  rmSync(recordFile(name), { force: true });
  rmSync(keyFileOf(name), { force: true });
  for (const file of socketFilesOf(name, SERIAL_PORTS)) rmSync(file, { force: true });
}

/** A name that no machine has: `wanted`, or with a number behind it. */
export function freeMachineName(wanted: string): string {
  const taken = new Set(listMachines().map(({ name }) => name));
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
    if (!taken.has(name)) return name;
  }
}
