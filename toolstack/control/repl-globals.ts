/** The globals available in `js`: the toolstack's live objects. */
import * as domctlNumbers from "../../abi/domctl.ts";
import * as memoryNumbers from "../../abi/memory.ts";
import * as sysctlNumbers from "../../abi/sysctl.ts";
import * as xenNumbers from "../../abi/xen.ts";
import type { ControlServer } from "./api/server.ts";
import { bootModules } from "./boot-info.ts";
import { systemTime } from "./clock.ts";
import { commands } from "./commands/table.ts";
import { print } from "./console/output.ts";
import type { Domains } from "./domains/domains.ts";
import { memory } from "./host.ts";
import { hypercallWide } from "./hypercall.ts";
import { images } from "./images/store.ts";
import * as domctl from "./hypercalls/domctl.ts";
import * as sysctl from "./hypercalls/sysctl.ts";
import { inspect } from "./inspect.ts";
import type { Connection } from "./net/connection.ts";
import { network } from "./net/network.ts";
import type { IoChannel } from "./noxs/channel.ts";
import { replTimers } from "./repl-timers.ts";
import { stablePages } from "./stable.ts";
import { sleep } from "./timers.ts";
import { openTls } from "./tls/machine.ts";

/** Xen's numbers and structures, by their names. */
const abi = { ...xenNumbers, ...domctlNumbers, ...memoryNumbers, ...sysctlNumbers };

function log(...values: unknown[]): void {
  print(`${values.map((value) => (typeof value === "string" ? value : inspect(value))).join(" ")}\n`);
}

/** The usual `console` object: all levels print the same. */
const console = { log, info: log, debug: log, warn: log, error: log };

/** Defines the globals. `hypercall` replaces the engine's own function of that name, which takes no arguments. */
export function installGlobals(domains: Domains, io: IoChannel, control: ControlServer): void {
  Object.assign(globalThis, {
    abi,
    commands,
    console,
    control,
    domains,
    domctl,
    hypercall: hypercallWide,
    images,
    inspect,
    io,
    memory,
    modules: bootModules(),
    net: {
      listen: (port: number, accept: (connection: Connection) => void) => network.tcp.listen(port, accept),
      describe: () => network.describe(),
      count: () => network.tcp.count,
    },
    print,
    sleep,
    stablePages,
    store: domains.store.local,
    openTls,
    sysctl,
    uptimeNs: systemTime,
    ...replTimers,
  });
}
