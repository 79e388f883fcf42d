/** All requests that can be made from outside, by subject. */
import type { AnyRequest } from "../request.ts";
import * as devices from "./devices.ts";
import * as domains from "./domains.ts";
import * as images from "./images.ts";
import * as inspect from "./inspect.ts";
import * as machine from "./machine.ts";
import * as scheduling from "./scheduling.ts";
import * as store from "./store.ts";
import * as top from "./top.ts";

const isRequest = (value: unknown): value is AnyRequest =>
  typeof value === "object" && value !== null && "arguments" in value && "params" in value;

export const requests: readonly AnyRequest[] = [
  ...[domains, scheduling, images, machine, top, inspect, store, devices],
].flatMap((group) => Object.values(group).filter(isRequest));
