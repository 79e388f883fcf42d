/** The parameters of `create`. */
import type { GuestConfig } from "../builder/builder.ts";
import type { DeviceModel } from "../noxs/vif-config.ts";
import type { EndPolicy } from "../../api/policy.ts";

/** The name is generated if not given. */
export interface CreateRequest extends GuestConfig {
  /** Settings of its vifs, by number (noxs/vif-config.ts); null where one was detached. */
  vifs?: (string | null)[];
  /** Settings of its vbds (noxs/vbd-config.ts). */
  vbds?: string[];
  /** How it is told of its devices. */
  model?: DeviceModel;
  name?: string;
  /** Of a domain that is made again, its own; others get a new one. */
  uuid?: string;
  /** xl's defaults if not given. */
  policy?: EndPolicy;
}
