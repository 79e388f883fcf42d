/**
 * The domain builder: from a kernel image to a domain that is ready to run. It makes a domain completely or not at all:
 * whatever fails, what was made is destroyed and the memory is back before the error is reported.
 */
import { ENOMEM } from "../../../abi/errno.ts";
import { HVM_PARAM_TRIPLE_FAULT_REASON } from "../../../abi/hvm.ts";
import { SHUTDOWN_crash } from "../../../abi/sched.ts";
import { HypercallError } from "../hypercall.ts";
import { createDomain, destroyDomain, setMaxMemory, setMaxVcpus } from "../hypercalls/domctl.ts";
import { setHvmParam } from "../hypercalls/hvm.ts";
import { BATCH_PAGES, populateAll, populateFrames, populateRange, setMemoryMap } from "../hypercalls/memory.ts";
import { guestRefusal } from "../refusal.ts";
import { PAGE_SIZE } from "../window.ts";
import { blueprintFor } from "./blueprint.ts";
import { BuildError } from "./build-error.ts";
import { writeBatches } from "./guest-writer.ts";
import { setStartContext } from "./vcpu-state.ts";
import { Pace, type Progress } from "./pace.ts";
import type { Image } from "./image.ts";
import type { GuestLayout } from "./layout.ts";
import { notEnoughMemory } from "./memory-check.ts";
import { openRings, type Rings } from "./rings.ts";

const MIB = 1024 * 1024;
/** Superpages of 2 MiB: extent order, frames and bytes. */
const SUPER_ORDER = 9;
const SUPER_PAGES = 512;
const SUPER_SIZE = SUPER_PAGES * PAGE_SIZE;

/** What a user may choose of a guest. */
export interface GuestConfig {
  kernel: Image;
  ramdisk?: Image;
  commandLine: string;
  memoryMib: number;
  vcpus: number;
  /** Told of a build that takes more than a second: bytes of memory given or written, and to be. */
  progress?: Progress;
}

/**
 * Builds a PVH domain, which is paused. What takes long is done in steps, between which others have their turns. The domain has
 * no handle yet, which marks it as unfinished: its caller writes it when everything else is done.
 * @throws BuildError for what the user can mend, HypercallError for what the hypervisor refused
 */
export async function buildDomain(config: GuestConfig): Promise<Rings> {
  const { kernel, layout, size, writes } = blueprintFor(config);
  const pace = new Pace(config.progress);
  let id = -1;
  try {
    id = createDomain(config.vcpus);
    setMaxVcpus(id, config.vcpus);
    setMaxMemory(id, config.memoryMib * 1024 + (layout.extraGfns.length * PAGE_SIZE) / 1024);
    await populateGuest(id, layout, pace);
    const rings = openRings(id, layout.consolePage / PAGE_SIZE, layout.storePage / PAGE_SIZE);
    // Xen's default is a reboot; a PVH guest asks for one by hypercall, so its triple fault is an accident.
    setHvmParam(id, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_crash);
    setMemoryMap(id, layout.memoryMap);
    await writeBatches(id, writes, size, pace);
    setStartContext(id, kernel.entry, layout.startInfo);
    return rings;
  } catch (error) {
    if (id >= 0) destroyDomain(id);
    throw explain(error, config);
  }
}

/** Gives the guest its RAM: superpages as far as there are whole ones, single frames for the rest. */
async function populateGuest(id: number, layout: GuestLayout, pace: Pace): Promise<void> {
  const total = layout.lowRam + layout.highRam;
  for (const [start, size, before] of [
    [0, layout.lowRam, 0],
    [4 * 1024 * MIB, layout.highRam, layout.lowRam],
  ] as const) {
    const firstGfn = start / PAGE_SIZE;
    const pages = size / PAGE_SIZE;
    const step = (done: number): Promise<void> => pace.step(before + done * PAGE_SIZE, total);
    let done = 0;
    const wanted = Math.floor(size / SUPER_SIZE);
    for (let supers = 0, batch = 1; supers < wanted;) {
      const asked = Math.min(wanted - supers, batch);
      const given = populateRange(id, firstGfn + done, SUPER_ORDER, asked);
      supers += given;
      done = supers * SUPER_PAGES;
      if (given < asked) break; // there are no more in one piece
      await step(done);
      batch = pace.next(batch, BATCH_PAGES);
    }
    for (let batch = BATCH_PAGES; done < pages;) {
      const asked = Math.min(pages - done, batch);
      populateAll(id, firstGfn + done, asked);
      done += asked;
      await step(done);
      batch = pace.next(batch, BATCH_PAGES);
    }
  }
  populateFrames(id, layout.extraGfns);
}

/** Says what the user can do about a hypercall's failure, where that is known. */
function explain(error: unknown, config: GuestConfig): unknown {
  if (!(error instanceof HypercallError)) return error;
  const refusal = guestRefusal();
  if (refusal !== null) return new BuildError(refusal);
  return error.code === ENOMEM ? notEnoughMemory(config.memoryMib) : error;
}
