/** The parameters of `create`. */
import type { GuestConfig } from "../builder/builder.ts";
import type { EndPolicy } from "./policy.ts";

/** Generated if not given. */
export interface CreateRequest extends Omit<GuestConfig, "handle"> {
  name?: string;
  /** xl's defaults if not given. */
  policy?: EndPolicy;
}
