/** Creating domain 0, the control plane: a software-isolated domain with one vCPU, from the heap snapshot in the image. */
import { DOM0_CODEC, DOM0_SCRATCH_END, DOM0_START_INFO, DOM0_WINDOW_END } from "../../abi/domain0-layout";
import { DomainKind } from "../records/domain";
import { domainCreate, vcpuCreate } from "../domains/domain-life";
import { domainUnpause } from "../scheduling/scheduler";
import { SoftwareDomain, softwareOf } from "../records/software-domain";
import { heapAllocFor } from "../memory/heap";
import { overheadClaim } from "../memory/overhead";
import { softwareOverhead } from "../memory/software-memory";
import { softwareBegin } from "./software-restart";

/** Its number among hw's linear memories. */
const DOM0_SPACE: u32 = 1;
/** Most memory its engine may have: 64 MiB, in 4 KiB pages. */
const ENGINE_PAGES_MAX: u32 = 16384;
/** Memory that it may allocate for its codec while that unpacks a kernel. */
const CODEC_PAGES: u32 = (DOM0_WINDOW_END - DOM0_CODEC) >> 12;
/** The call page and a few more. */
const OTHER_PAGES: u32 = 16;

const error: usize = memory.data(4);

/** Builds domain 0 and unpauses it; false when out of memory. */
export function dom0Start(): bool {
  const d = domainCreate(0, DomainKind.Software, 0, 1, error);
  if (d == null) return false;
  d.privileged = 1;
  d.software = heapAllocFor(d, offsetof<SoftwareDomain>());
  if (!d.software) return false;
  const s = softwareOf(d);
  s.space = DOM0_SPACE;
  s.enginePagesMax = ENGINE_PAGES_MAX;
  d.maxPages = ENGINE_PAGES_MAX + ((DOM0_SCRATCH_END - DOM0_START_INFO) >> 12) + CODEC_PAGES + OTHER_PAGES;
  if (overheadClaim(d, softwareOverhead()) != 0) return false;
  if (vcpuCreate(d, 0) != 0 || !softwareBegin(d)) return false;
  domainUnpause(d);
  return true;
}
