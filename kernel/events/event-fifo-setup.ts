/**
 * Switching a domain to the FIFO ABI of event channels and back: control blocks and pages of event words. They are RAM
 * of the guest, on which a reference is held while they are in use: if the guest returns such a page, it becomes free only
 * afterwards. Errors and their order are those of Xen 4.17.
 */
import { EINVAL, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP } from "../../abi/errno";
import { EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_PRIORITY_DEFAULT, EvtchnFifoControlBlock } from "../../abi/event-channel";
import * as hw from "../../arch-x86/hw";
import { vcpuOf } from "../records/domain-access";
import { Domain } from "../records/domain";
import { twoLevelIsPending } from "./event-2l";
import {
  DOMAIN_FIFO_BYTES,
  DomainFifo,
  FIFO_PAGE_WORDS,
  FIFO_PAGES,
  fifoFrameSlot,
  fifoSetPending,
  VCPU_FIFO_BYTES,
  VcpuFifo,
} from "./event-fifo";
import { eventsOf, portOf, usable } from "./event-port";
import { framePut } from "../memory/frames";
import { pinRam } from "../memory/guest-pages";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { Vcpu } from "../records/vcpu";

/**
 * EVTCHNOP_init_control: the control block of vCPU `vcpu` is at `offset` of frame `gfn`. The first one switches the
 * domain: pending events of bound ports are recorded until there are event words.
 * @returns 0; -ENOENT no such vCPU; -EINVAL a bad place, not the guest's RAM, or the vCPU has one; -ENOMEM
 */
export function fifoInitControl(d: Domain, vcpu: u32, gfn: u64, offset: u32): i32 {
  const v = vcpuOf(d, vcpu);
  if (v == null) return -ENOENT;
  if (offset > 4096 - EvtchnFifoControlBlock.SIZE || offset & 7) return -EINVAL;
  hw.lock(d.events);
  const rc = initControl(d, v, gfn, offset);
  hw.unlock(d.events);
  return rc;
}

function initControl(d: Domain, v: Vcpu, gfn: u64, offset: u32): i32 {
  if (v.fifo) return -EINVAL;
  const e = eventsOf(d);
  const switching = e.fifo == 0;
  const queues = heapAllocFor(d, VCPU_FIFO_BYTES);
  const fifo = switching ? heapAllocFor(d, DOMAIN_FIFO_BYTES) : e.fifo;
  const mfn = queues && fifo ? pinRam(d, gfn) : 0;
  if (!mfn) {
    heapFreeFor(d, queues, VCPU_FIFO_BYTES);
    if (switching) heapFreeFor(d, fifo, DOMAIN_FIFO_BYTES);
    return queues && fifo ? -EINVAL : -ENOMEM;
  }
  changetype<VcpuFifo>(queues).control = (mfn << 12) + offset;
  v.fifo = queues;
  if (switching) {
    keepPending(d);
    e.fifo = fifo;
  }
  return 0;
}

/** Moves pending events from shared_info to the ports' records until event words are added. */
function keepPending(d: Domain): void {
  const e = eventsOf(d);
  for (let port: u32 = 1; port < e.valid && port < EVTCHN_2L_NR_CHANNELS; port++) {
    const p = portOf(d, port)!;
    if (!usable(p)) continue;
    p.priority = <u8>EVTCHN_FIFO_PRIORITY_DEFAULT;
    if (twoLevelIsPending(d, port)) p.waiting = 1;
  }
}

/**
 * EVTCHNOP_expand_array: frame `gfn` has the event words of the next 1,024 ports. Events that waited for them are raised.
 * @returns 0; -EOPNOTSUPP not in FIFO mode; -ENOSPC all ports have words; -EINVAL not the guest's RAM
 */
export function fifoExpandArray(d: Domain, gfn: u64): i32 {
  if (!eventsOf(d).fifo) return -EOPNOTSUPP;
  hw.lock(d.events);
  const rc = expandArray(d, gfn);
  hw.unlock(d.events);
  return rc;
}

function expandArray(d: Domain, gfn: u64): i32 {
  const e = eventsOf(d);
  const fifo = changetype<DomainFifo>(e.fifo);
  const page = fifo.words / FIFO_PAGE_WORDS;
  if (page >= FIFO_PAGES) return -ENOSPC;
  const mfn = pinRam(d, gfn);
  if (!mfn) return -EINVAL;
  store<u32>(fifoFrameSlot(fifo, page), <u32>mfn);
  let port = fifo.words;
  fifo.words += FIFO_PAGE_WORDS;
  for (; port < fifo.words && port < e.valid; port++) {
    const p = portOf(d, port)!;
    if (!p.waiting) continue;
    p.waiting = 0;
    const v = vcpuOf(d, p.vcpu);
    if (v != null) fifoSetPending(d, v, port);
  }
  return 0;
}

/** Back to the 2-level ABI: releases all pages. No port is bound. Does nothing for a domain that is not in FIFO mode. */
export function fifoDestroy(d: Domain): void {
  const e = eventsOf(d);
  if (!e.fifo) return;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null || !v.fifo) continue;
    framePut(changetype<VcpuFifo>(v.fifo).control >> 12);
    heapFreeFor(d, v.fifo, VCPU_FIFO_BYTES);
    v.fifo = 0;
  }
  const fifo = changetype<DomainFifo>(e.fifo);
  for (let page: u32 = 0; page < fifo.words / FIFO_PAGE_WORDS; page++) framePut(load<u32>(fifoFrameSlot(fifo, page)));
  heapFreeFor(d, e.fifo, DOMAIN_FIFO_BYTES);
  e.fifo = 0;
}
