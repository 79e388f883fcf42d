/** The parameters of `create`. */
import type { GuestConfig } from "../builder/builder.ts";
import type { DeviceModel } from "../../api/devices/names.ts";
import type { EndPolicy } from "../../api/policy.ts";
import type { Scheduling } from "./affinity.ts";

/** The name is generated if not given. */
export interface CreateRequest extends GuestConfig, Scheduling {
  /** Of its vCPUs, those that it is asked to use; all if not given. */
  onlineVcpus?: number;
  /** Settings of its vifs, by number (noxs/vif-config.ts); null where one was detached. */
  vifs?: (string | null)[];
  /** Settings of its vbds (noxs/vbd-config.ts). */
  vbds?: string[];
  /** How it is told of its devices. */
  model?: DeviceModel;
  name?: string;
  /** A new one if not given. */
  uuid?: string;
  /** xl's defaults if not given. */
  policy?: EndPolicy;
}
