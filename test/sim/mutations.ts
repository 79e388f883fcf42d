/**
 * Deliberate bugs that the simulation must detect: each breaks one invariant of the hypervisor in a test build. Each must
 * match its source line, so that a change of the kernel that moves one of these lines is noticed.
 */
import type { Mutation } from "./module.ts";

export const MUTATIONS: Mutation[] = [
  {
    name: "a grant is used without a reference on its frame",
    file: "kernel/grants/grant-pin.ts",
    find: "if (!mfn || !frameGet(mfn, holderOf(owner, mfn))) {",
    replace: "if (!mfn) {",
  },
  {
    name: "a foreign frame is mapped without a reference",
    file: "kernel/memory/guest-pages.ts",
    find: "if (!frameGet(mfn, owner.id)) return -EINVAL;",
    replace: "",
  },
  {
    name: "translations are not flushed when a page is unmapped",
    file: "kernel/memory/physmap.ts",
    find: "else physmapFlush(d);",
    replace: "",
  },
  {
    name: "a guest's frame number is taken for the machine's",
    file: "kernel/grants/grant-pin.ts",
    find: "? entryMfn(entry) : 0;",
    replace: "? gfn : 0;",
  },
  {
    name: "memory is given to a domain as its last owner left it",
    file: "kernel/memory/frames.ts",
    find: "if (!at(mfn + i).refs) hw.zeroFrame(mfn + i);",
    replace: "{}",
  },
  {
    name: "a free frame is marked as clean and not zeroed",
    file: "kernel/memory/frames.ts",
    find: "      hw.zeroFrame(mfn + clean);\n",
    replace: "",
  },
  {
    name: "a frame that its domain has used is clean when it is free again",
    file: "kernel/memory/frames.ts",
    find: "    if (--f.refs) continue; // freed with its last reference\n",
    replace: "    if (--f.refs) continue;\n    f.refs = FREE_CLEAN;\n    cleanCount++;\n",
  },
  {
    name: "an event for a port is dropped",
    file: "kernel/events/event-2l.ts",
    find: "if (hw.fetchOr64(wordPa(d, SharedInfo.evtchn_pending, port), bit) & bit) return;",
    replace:
      "if (port > 1) return;\n  if (hw.fetchOr64(wordPa(d, SharedInfo.evtchn_pending, port), bit) & bit) return;",
  },
  {
    name: "a FIFO queue's tail is kept when its port goes to another queue or back",
    file: "kernel/events/event-fifo.ts",
    find: "if (load<u32>(slot) == port) store<u32>(slot, 0);",
    replace: "",
  },
  {
    name: "an event does not wake a sleeping guest",
    file: "kernel/events/event-notify.ts",
    find: "  vlapicUpcall(v);\n  vcpuWake(v);",
    replace: "  vlapicUpcall(v);",
  },
  {
    name: "the owner of a grant is not told that it is in use",
    file: "kernel/grants/grant-pin.ts",
    find: "const found = hw.cmpxchg32(pa, seen, seen | flags);",
    replace: "const found = hw.cmpxchg32(pa, seen, seen);",
  },
  {
    name: "a guest can write its device page",
    file: "kernel/domains/device-page.ts",
    find: "d.devicePageMfn, P2M_SHARED_RO);",
    replace: "d.devicePageMfn);",
  },
  {
    name: "the devices behind a removed one do not move up",
    file: "kernel/domains/device-page.ts",
    find: "for (let i: u32 = index; i + 1 < count; i++) copyEntry(d, i, i + 1);",
    replace: "",
  },
  {
    name: "the devices of a backend that is destroyed stay",
    file: "kernel/domains/device-page.ts",
    find: "while (backend.devicesOffered) {",
    replace: "while (false) {",
  },
];
