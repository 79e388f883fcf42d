/**
 * Boot modules: files passed to Typevisor under a name. GRUB loads any number of them; PVH loaders such as
 * `qemu -kernel` load one, so several are packed into one container, which the shim unpacks:
 *
 *   "TVMODS1\0", u32 count, u32 0, then count records { u64 offset, u64 size, char name[112] (NUL-terminated) },
 *   then the files, each at a multiple of 4096 bytes from the container's start.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { builtGuests, siteFile } from "./build/guests.ts";
import { guestsFolder } from "./paths.ts";
import path from "node:path";

export interface BootModule {
  name: string;
  file: string;
}

const MAGIC = "TVMODS1\0";
const HEADER_BYTES = 16;
const RECORD_BYTES = 128;
const NAME_BYTES = 112;
const PAGE = 4096;
/** What `chaos build` puts programs behind: without one it is no guest, and 1 MiB of each machine's memory. */
const PROGRAM_BASE = "typescript";
/** As many as the shim keeps (abi/boot-info.ts, MODULE_MAX). */
const MODULE_MAX = 32;

/** Parses `NAME=FILE`; throws an error that describes the mistake. */
export function parseModule(text: string): BootModule {
  const equals = text.indexOf("=");
  if (equals < 1) throw new Error("Expected NAME=FILE.");
  const module = { name: text.slice(0, equals), file: text.slice(equals + 1) };
  if (!/^[A-Za-z0-9._+-]+$/.test(module.name) || module.name.length >= NAME_BYTES) {
    throw new Error(`A name has up to ${NAME_BYTES - 1} of the characters A-Z a-z 0-9 . _ + -`);
  }
  if (!existsSync(module.file) || !statSync(module.file).isFile()) {
    throw new Error(`There is no file ${module.file}`);
  }
  return module;
}

/** Our own guests under their names, `site` for one of them, then `more`; one of those may replace another of the same name. */
export function withOwnGuests(more: BootModule[]): BootModule[] {
  const guests = builtGuests()
    .filter((name) => name !== PROGRAM_BASE)
    .map((name) => ({ name, file: path.join(guestsFolder, `${name}.elf`) }));
  const own = [...guests, { name: "site", file: siteFile }];
  const all = new Map([...own, ...more].map((module) => [module.name, module]));
  if (all.size > MODULE_MAX) throw new Error(`${all.size} modules are too many: at most ${MODULE_MAX}`);
  return [...all.values()];
}

/** The container of `modules`. */
export function packModules(modules: BootModule[]): Buffer {
  const files = modules.map((module) => readFileSync(module.file));
  const roundUp = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;
  let offset = roundUp(HEADER_BYTES + modules.length * RECORD_BYTES);
  const out = Buffer.alloc(offset + files.reduce((sum, data) => sum + roundUp(data.length), 0));
  out.write(MAGIC, 0, "latin1");
  out.writeUInt32LE(modules.length, 8);
  modules.forEach((module, index) => {
    const record = HEADER_BYTES + index * RECORD_BYTES;
    out.writeBigUInt64LE(BigInt(offset), record);
    out.writeBigUInt64LE(BigInt(files[index].length), record + 8);
    out.write(module.name, record + 16, "latin1");
    files[index].copy(out, offset);
    offset += roundUp(files[index].length);
  });
  return out;
}
