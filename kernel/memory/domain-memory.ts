/** Freeing a domain's RAM. */
import { ERESTART } from "../../abi/errno";
import { Domain } from "../records/domain";
import { domainFramesRelease } from "./frames";

/** Frames released in one go, some hundred microseconds' worth. */
const RELEASE_BATCH: u32 = 2048;

/** Releases all RAM on the domain's list. -ERESTART: call again. */
export function domainReleaseMemory(d: Domain): i32 {
  domainFramesRelease(d, RELEASE_BATCH);
  return d.firstFrame ? -ERESTART : 0;
}
