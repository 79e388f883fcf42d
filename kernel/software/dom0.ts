/** Creating domain 0, the control plane: a software-isolated domain with one vCPU, from the heap snapshot in the image. */
import {
  DOM0_CALL_PAGE,
  DOM0_IMAGES,
  DOM0_MAP,
  DOM0_MODULES,
  DOM0_SANDBOXES,
  DOM0_SCRATCH,
  DOM0_SCRATCH_END,
  DOM0_SHARED_INFO,
  DOM0_STABLE_END,
  DOM0_START_INFO,
  DOM0_WINDOW_END,
} from "../../abi/domain0-layout";
import { SoftwareLayout } from "../records/software-domain";
import { softwareCreate } from "./software-create";

/** Its number among hw's linear memories. */
const DOM0_SPACE: u32 = 1;
/** Most memory its engine may have: 64 MiB, in 4 KiB pages; and pages beyond its image that it is sure of. */
const ENGINE_PAGES_MAX: u32 = 16384;
const ENGINE_ROOM: u32 = 1024;
/** Memory that it may allocate for its sandboxes while they are in use. */
const SANDBOX_PAGES: u32 = (DOM0_WINDOW_END - DOM0_SANDBOXES) >> 12;
/** The call page and a few more. */
const OTHER_PAGES: u32 = 16;
/** Frames for page tables, event channels and other allocations for domain 0, and those of stable memory. */
const OVERHEAD: u32 = 160;
const STABLE_FRAMES: u32 = 256;

const layout = changetype<SoftwareLayout>(memory.data(offsetof<SoftwareLayout>(), 8));

/** Builds domain 0 and unpauses it; false when out of memory. */
export function dom0Start(): bool {
  layout.callPage = DOM0_CALL_PAGE >> 12;
  layout.sharedInfo = DOM0_SHARED_INFO >> 12;
  layout.startInfo = DOM0_START_INFO >> 12;
  layout.scratchEnd = DOM0_SCRATCH_END >> 12;
  layout.modules = DOM0_MODULES >> 12;
  layout.modulesEnd = DOM0_MAP >> 12;
  layout.map = DOM0_SCRATCH >> 12;
  layout.mapEnd = DOM0_WINDOW_END >> 12;
  layout.shared = layout.map;
  layout.sharedEnd = layout.mapEnd;
  layout.stable = DOM0_IMAGES >> 12;
  layout.stableEnd = DOM0_STABLE_END >> 12;
  layout.ramMax = ENGINE_PAGES_MAX;
  layout.room = ENGINE_ROOM;
  layout.overhead = OVERHEAD;
  layout.stableRoom = STABLE_FRAMES;
  const pages = ENGINE_PAGES_MAX + (layout.scratchEnd - layout.startInfo) + SANDBOX_PAGES + OTHER_PAGES;
  return softwareCreate(0, true, DOM0_SPACE, layout, pages) != null;
}
