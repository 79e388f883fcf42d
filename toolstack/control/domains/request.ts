/** What `create` asks for. */
import type { GuestConfig } from "../builder/builder.ts";
import type { EndPolicy } from "./policy.ts";

/** A name is made up where none is given. */
export interface CreateRequest extends Omit<GuestConfig, "handle"> {
  name?: string;
  /** xl's defaults if not given. */
  policy?: EndPolicy;
}
