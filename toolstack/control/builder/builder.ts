/**
 * The domain builder: from a kernel image to a domain that is ready to run. It makes a domain completely or not at all:
 * whatever fails, what was made is destroyed and the memory is back before the error is reported.
 */
import { ENOMEM } from "../../../abi/errno.ts";
import { HVM_PARAM_TRIPLE_FAULT_REASON } from "../../../abi/hvm.ts";
import { SHUTDOWN_crash } from "../../../abi/sched.ts";
import { DOM0_MAP } from "../../../abi/domain0-layout.ts";
import { HypercallError } from "../hypercall.ts";
import { makeDevicePage } from "../hypercalls/devctl.ts";
import { createDomain, destroyDomain, setMaxMemory, setMaxVcpus, writeHypercallPage } from "../hypercalls/domctl.ts";
import { setHvmParam } from "../hypercalls/hvm.ts";
import {
  BATCH_PAGES,
  mapSharedInfo,
  populateAll,
  populateFrames,
  populateRange,
  setMemoryMap,
} from "../hypercalls/memory.ts";
import { guestRefusal } from "../refusal.ts";
import { encodeUtf8 } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { acpiSize } from "./acpi.ts";
import { blueprintFor, bytesAt, imagePieces, type Plan } from "./blueprint.ts";
import { BuildError } from "./build-error.ts";
import { fill, planWrites, writeBatches } from "./guest-writer.ts";
import { setPvStartContext } from "./vcpu-state.ts";
import { parseKernel, type Kernel, type PvKernel } from "./elf.ts";
import { Pace, type Progress } from "./pace.ts";
import type { Image } from "./image.ts";
import { beyondRam, type MemoryPlan } from "./layout.ts";
import { notEnoughMemory } from "./memory-check.ts";
import { planPvGuest, type PvLayout } from "./pv-layout.ts";
import { checkPvCommandLine, makeFrameList, makePageTables, makePvStartInfo, virtualWords } from "./pv-start.ts";
import { openRings, type Rings } from "./rings.ts";

const MIB = 1024 * 1024;
/** Superpages of 2 MiB: extent order, frames and bytes. */
const SUPER_ORDER = 9;
const SUPER_PAGES = 512;
const SUPER_SIZE = SUPER_PAGES * PAGE_SIZE;
/** RAM, bytes, that is given in one step: zeroing it takes some hundred microseconds. */
const AT_ONCE = 4 * SUPER_SIZE;

/** What a user may choose of a guest. */
export interface GuestConfig {
  kernel: Image;
  ramdisk?: Image;
  commandLine: string;
  memoryMib: number;
  vcpus: number;
}

/**
 * Builds a domain of the kind that its kernel is for, PVH or PVHv1, which is paused: at once, or, what takes long, in steps, between
 * which others have their turns. The domain has no handle yet, which marks it as unfinished: its caller writes it when
 * everything else is done.
 * @param noxs it finds its devices in a device page (NoXS); PVHv1 guests always do
 * @param progress told of a build that takes more than a second: bytes of memory given or written, and to be
 * @throws BuildError for what the user can mend, HypercallError for what the hypervisor refused
 */
export function buildDomain(config: GuestConfig, noxs = false, progress?: Progress): Rings | Promise<Rings> {
  const kernel = kernelOf(config.kernel);
  const plan = kernel.kind === "pvhv1" ? planPvhv1(config, kernel) : blueprintFor(config, kernel);
  const pvhv1 = kernel.kind === "pvhv1";
  if (plan.layout.lowRam > AT_ONCE) return buildInSteps(config, plan, pvhv1, noxs, progress);
  let id = -1;
  try {
    id = createDomain(config.vcpus, pvhv1);
    setLimits(id, config);
    populateAtOnce(id, plan.layout);
    const rings = furnish(id, plan.layout, noxs);
    for (const batch of plan.batches(rings)) fill(id, batch);
    plan.finish(id);
    return rings;
  } catch (error) {
    if (id >= 0) destroyDomain(id);
    throw explain(error, config);
  }
}

/** As `buildDomain`, for what takes long: others have their turns in between. */
async function buildInSteps(
  config: GuestConfig,
  plan: Plan,
  pvhv1: boolean,
  noxs: boolean,
  progress?: Progress,
): Promise<Rings> {
  const pace = new Pace(progress);
  let id = -1;
  try {
    id = createDomain(config.vcpus, pvhv1);
    setLimits(id, config);
    await populateGuest(id, plan.layout, pace);
    const rings = furnish(id, plan.layout, noxs);
    await writeBatches(id, plan.batches(rings), plan.size, pace);
    plan.finish(id);
    return rings;
  } catch (error) {
    if (id >= 0) destroyDomain(id);
    throw explain(error, config);
  }
}

function setLimits(id: number, config: GuestConfig): void {
  setMaxVcpus(id, config.vcpus);
  setMaxMemory(id, config.memoryMib * 1024 + beyondRam(acpiSize(config.vcpus)) / 1024);
}

/** What a domain has beside its memory. */
function furnish(id: number, memory: MemoryPlan, noxs: boolean): Rings {
  if (noxs) makeDevicePage(id);
  const rings = openRings(id, memory.consolePage / PAGE_SIZE, memory.storePage / PAGE_SIZE);
  // Xen's default is a reboot; a PVH guest asks for one by hypercall, so its triple fault is an accident.
  setHvmParam(id, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_crash);
  setMemoryMap(id, memory.memoryMap);
  return rings;
}

function planPvhv1(config: GuestConfig, kernel: PvKernel): Plan {
  const { name } = config.kernel;
  const commandLine = encodeUtf8(config.commandLine);
  const ramdiskSize = config.ramdisk?.size ?? 0;
  if (config.vcpus > 1) throw new BuildError(`${name}: a PVHv1 guest has one virtual CPU, not ${config.vcpus}`);
  checkPvCommandLine(name, commandLine);
  const layout: PvLayout = planPvGuest(name, kernel, ramdiskSize, config.memoryMib * MIB);
  const images = imagePieces(config, kernel, layout.ramdisk);
  return {
    layout,
    size: images.reduce((sum, piece) => sum + piece.size, 0),
    batches: (rings) =>
      planWrites([
        ...images,
        bytesAt(layout.frameList, makeFrameList(layout.lowRam / PAGE_SIZE)),
        bytesAt(layout.startInfo, makePvStartInfo(kernel, layout, rings, commandLine, ramdiskSize)),
        bytesAt(layout.pageTables, makePageTables(layout.tables, layout.pageTables)),
      ]),
    finish: (id) => {
      if (kernel.hypercallPage !== null) writeHypercallPage(id, kernel.hypercallPage / PAGE_SIZE);
      mapSharedInfo(id, layout.sharedInfo / PAGE_SIZE);
      setPvStartContext(
        id,
        virtualWords(kernel, kernel.entry),
        virtualWords(kernel, layout.bootStack + PAGE_SIZE),
        virtualWords(kernel, layout.startInfo),
        layout.pageTables,
      );
    },
  };
}

/** Kernels read before, by their addresses: boot modules never change. */
const kernels = new Map<number, Kernel>();

function kernelOf(image: Image): Kernel {
  if (image.address >= DOM0_MAP) return parseKernel(image);
  let kernel = kernels.get(image.address);
  if (kernel === undefined) {
    kernel = parseKernel(image);
    kernels.set(image.address, kernel);
  }
  return kernel;
}

/** Whether guests of a kernel, one that could be built, are PVHv1's: they always have a device page. None is compressed. */
export function isPvhv1(kernel: Image): boolean {
  return (kernel.address < DOM0_MAP || kernel.reference !== undefined) && kernelOf(kernel).kind === "pvhv1";
}

/** Gives a small guest its RAM: so little takes no longer than a step. */
function populateAtOnce(id: number, { lowRam, extraGfns }: MemoryPlan): void {
  const supers = populateRange(id, 0, SUPER_ORDER, Math.floor(lowRam / SUPER_SIZE));
  const done = supers * SUPER_PAGES;
  const pages = lowRam / PAGE_SIZE;
  if (done < pages) populateAll(id, done, pages - done);
  if (extraGfns.length > 0) populateFrames(id, extraGfns);
}

/** Gives the guest its RAM: superpages as far as there are whole ones, single frames for the rest. */
async function populateGuest(id: number, layout: MemoryPlan, pace: Pace): Promise<void> {
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
  if (layout.extraGfns.length > 0) populateFrames(id, layout.extraGfns);
}

/** Says what the user can do about a hypercall's failure, where that is known. */
function explain(error: unknown, config: GuestConfig): unknown {
  if (!(error instanceof HypercallError)) return error;
  const refusal = guestRefusal();
  if (refusal !== null) return new BuildError(refusal);
  return error.code === ENOMEM ? notEnoughMemory(config.memoryMib) : error;
}
