/**
 * NoXS: a domain's device page, in which it finds its devices (abi/io/noxs.ts). A frame of the hypervisor, charged to the
 * domain, allocated at first use and mapped read-only at a fixed place; it is all the state there is.
 *
 * Entries keep their order and leave no hole, because guests walk entries 0 .. dev_count - 1. No entry outlives its
 * backend's domain: a destroyed domain's entries are removed from all pages before its id is free. Its frontends keep
 * the control page that they have mapped, in the state it was left in; their event channels are unbound.
 *
 * Which domains have a page: hypercalls/devctl.ts. Calling context: from hypercalls; the guest may be reading its page.
 */
import { DOM0_DEVICE_PAGE } from "../../abi/domain0-layout";
import { EEXIST, EINVAL, ENOBUFS, ENOENT, ENOMEM, EOPNOTSUPP, ERESTART, ESRCH } from "../../abi/errno";
import { IO_DEVICE_PAGE } from "../../abi/io/layout";
import { noxs_dev_none, NOXS_DEV_COUNT_MAX, NOXS_DEVICE_PAGE, NoxsDevPage, NoxsDevPageEntry } from "../../abi/io/noxs";
import * as hw from "../../arch-x86/hw";
import { P2M_SHARED_RO } from "../../arch-x86/p2m-types";
import { FrameType } from "../memory/frames";
import { mapShared } from "../memory/guest-pages";
import { overheadFrame, overheadFrameFree } from "../memory/overhead";
import { preemptNeeded } from "../records/cpu";
import { Domain, DomainKind, DomainLife } from "../records/domain";
import { domainById, domainFrom } from "../records/domain-list";
import { Vcpu } from "../records/vcpu";

/** Guards every page: all changes are short and rare. */
const lockWord: usize = memory.data(4);
/** Domains looked at between two looks at the clock. */
const BATCH: u32 = 4;

/** Guest-physical address at which `d` has its page, if it has one. */
export function devicePageAddress(d: Domain): u32 {
  if (d.kind != DomainKind.Software) return NOXS_DEVICE_PAGE;
  return d.privileged ? DOM0_DEVICE_PAGE : IO_DEVICE_PAGE;
}

/**
 * Makes sure that `d` has a page and that it is mapped, which a guest may have undone. A domain that has never run thereby
 * becomes one with devctl; for one that runs without, it is too late.
 * @returns 0; -ESRCH dying; -EOPNOTSUPP it has dm_op; -ENOMEM; -ENXIO a grant or foreign frame is in the way
 */
export function devicePageReady(d: Domain): i32 {
  if (d.life != DomainLife.Alive) return -ESRCH;
  if (!d.devctl && d.started) return -EOPNOTSUPP;
  const made = !d.devicePageMfn;
  if (made) d.devicePageMfn = overheadFrame(d, FrameType.XenShared);
  if (!d.devicePageMfn) return -ENOMEM;
  const rc = mapShared(d, devicePageAddress(d) >> 12, d.devicePageMfn, P2M_SHARED_RO);
  if (!rc) d.devctl = 1;
  else if (made) devicePageFree(d);
  return rc;
}

/** Frees the page of a dying domain, or one that could not be mapped. May be called again. */
export function devicePageFree(d: Domain): void {
  if (!d.devicePageMfn) return;
  for (let i: u32 = 0; i < deviceCount(d); i++) domainById(backendOf(d, i))!.devicesOffered--;
  overheadFrameFree(d, d.devicePageMfn);
  d.devicePageMfn = 0;
}

/** Devices of `d`. */
export function deviceCount(d: Domain): u32 {
  return d.devicePageMfn ? hw.load32((d.devicePageMfn << 12) + NoxsDevPage.dev_count) : 0;
}

/** Physical address of entry `index` of a page that exists. */
export function deviceEntry(d: Domain, index: u32): u64 {
  return (d.devicePageMfn << 12) + NoxsDevPage.devs + index * NoxsDevPageEntry.SIZE;
}

/** Id of the backend in entry `index`. */
function backendOf(d: Domain, index: u32): u32 {
  return hw.load16(deviceEntry(d, index) + NoxsDevPageEntry.be_id);
}

/** The index of the device with this type and id, or -1. */
function find(d: Domain, type: u32, id: u32): i32 {
  const count = deviceCount(d);
  for (let i: u32 = 0; i < count; i++) {
    const at = deviceEntry(d, i);
    if (hw.load32(at + NoxsDevPageEntry.type) == type && hw.load32(at + NoxsDevPageEntry.id) == id) return i;
  }
  return -1;
}

/**
 * Adds a device to `d`.
 * @param entry linear address of a NoxsDevPageEntry
 * @returns 0; -EINVAL type none; -ESRCH no such backend, or dying; -EEXIST one of this type and id is there; -ENOBUFS full;
 *   or as devicePageReady
 */
export function deviceAdd(d: Domain, entry: usize): i32 {
  const type = load<u32>(entry, NoxsDevPageEntry.type);
  const id = load<u32>(entry, NoxsDevPageEntry.id);
  if (type == noxs_dev_none) return -EINVAL;
  const backend = domainById(load<u16>(entry, NoxsDevPageEntry.be_id));
  if (backend == null || backend.life != DomainLife.Alive) return -ESRCH;
  if (find(d, type, id) >= 0) return -EEXIST;
  const count = deviceCount(d);
  if (count >= NOXS_DEV_COUNT_MAX) return -ENOBUFS;
  const rc = devicePageReady(d);
  if (rc) return rc;
  hw.lock(lockWord);
  const at = deviceEntry(d, count);
  hw.store32(at + NoxsDevPageEntry.type, type);
  hw.store32(at + NoxsDevPageEntry.id, id);
  hw.store32(at + NoxsDevPageEntry.be_id, backend.id);
  hw.store32(at + NoxsDevPageEntry.grant, load<u32>(entry, NoxsDevPageEntry.grant));
  hw.store32(at + NoxsDevPageEntry.evtchn, load<u32>(entry, NoxsDevPageEntry.evtchn));
  // Last: whoever reads the new count finds the entry complete.
  hw.store32((d.devicePageMfn << 12) + NoxsDevPage.dev_count, count + 1);
  backend.devicesOffered++;
  hw.unlock(lockWord);
  return 0;
}

/** Removes the device of `d` with this type and id. 0 or -ENOENT. */
export function deviceRemove(d: Domain, type: u32, id: u32): i32 {
  const index = find(d, type, id);
  if (index < 0) return -ENOENT;
  hw.lock(lockWord);
  const count = deviceCount(d);
  domainById(backendOf(d, index))!.devicesOffered--;
  for (let i: u32 = index; i + 1 < count; i++) copyEntry(d, i, i + 1);
  shorten(d, count, count - 1);
  hw.unlock(lockWord);
  return 0;
}

/** Removes the devices of `d` with this backend. */
function removeBackend(d: Domain, backend: Domain): void {
  const count = deviceCount(d);
  let kept: u32 = 0;
  hw.lock(lockWord);
  for (let i: u32 = 0; i < count; i++) {
    if (backendOf(d, i) == backend.id) continue;
    if (kept != i) copyEntry(d, kept, i);
    kept++;
  }
  shorten(d, count, kept);
  backend.devicesOffered -= count - kept;
  hw.unlock(lockWord);
}

function copyEntry(d: Domain, to: u32, from: u32): void {
  for (let word: u32 = 0; word < NoxsDevPageEntry.SIZE; word += 4) {
    hw.store32(deviceEntry(d, to) + word, hw.load32(deviceEntry(d, from) + word));
  }
}

/** From `count` devices to `kept`. A guest that has read meanwhile may have seen one of them twice, or one that is gone. */
function shorten(d: Domain, count: u32, kept: u32): void {
  if (kept == count) return;
  hw.store32((d.devicePageMfn << 12) + NoxsDevPage.dev_count, kept);
  for (let i = kept; i < count; i++) {
    for (let word: u32 = 0; word < NoxsDevPageEntry.SIZE; word += 4) hw.store32(deviceEntry(d, i) + word, 0);
  }
}

/** Copies the devices of `d` to NOXS_DEV_COUNT_MAX entries at linear `out`, zeroes behind them. Returns their number. */
export function deviceList(d: Domain, out: usize): u32 {
  const count = deviceCount(d);
  memory.fill(out, 0, NOXS_DEV_COUNT_MAX * NoxsDevPageEntry.SIZE);
  if (count) hw.copyFromPhys(out, deviceEntry(d, 0), count * NoxsDevPageEntry.SIZE);
  return count;
}

/**
 * Removes the devices of which `backend`, which is dying, is the backend from all domains. Without any there is no walk.
 * @param caller the vCPU whose slice limits the work; null: no limit
 * @returns 0, or -ERESTART when it is to be called again
 */
export function devicesForget(backend: Domain, caller: Vcpu | null): i32 {
  let visited: u32 = 0;
  while (backend.devicesOffered) {
    const d = domainFrom(backend.devicesForgottenBelow)!;
    removeBackend(d, backend);
    backend.devicesForgottenBelow = d.id + 1;
    if (++visited % BATCH == 0 && caller != null && preemptNeeded(caller)) return -ERESTART;
  }
  return 0;
}
