/** Node's modules that programs can import, by name. toolstack/cli/app/bundle.ts reads the names here: one a line. */
import EventEmitter from "events";
import { process } from "./process.ts";
import * as timers from "./timers.ts";

export const MODULES: Record<string, unknown> = {
  events: EventEmitter,
  process,
  timers,
  "timers/promises": timers.promises,
};
