/**
 * What a guest finds in the store: the nodes that libxl writes for a PVH domain, with its permissions. "Its own" nodes are
 * the guest's to write, the others it may read.
 *
 * Source: Xen's docs/misc/xenstore-paths.pandoc; libxl's libxl__domain_make, libxl__build_post, libxl__device_console_add.
 */
import { NO_ACCESS, READ, type Permissions } from "../store/permissions.ts";
import { toBytes, type LocalStore } from "../store/local.ts";

/** What the nodes of a domain say. */
export interface DomainFacts {
  id: number;
  name: string;
  /** Its 16 handle bytes as a UUID. */
  uuid: string;
  memoryKib: number;
  /** The most it may ever have. */
  maxMemoryKib: number;
  vcpus: number;
  /** Of them, those it is to use. */
  onlineVcpus: number;
  storeGfn: number;
  storePort: number;
  consoleGfn: number;
  consolePort: number;
  /** Wall-clock time of its creation in ms since 1970, 0 unknown. */
  startedMs: number;
}

export function domainPath(domain: number): string {
  return `/local/domain/${domain}`;
}

const consoleBackend = (domain: number) => `/local/domain/0/backend/console/${domain}`;

const TOOLSTACK_ONLY: Permissions = [{ domain: 0, access: NO_ACCESS }];
/** xenbus_state: XenbusStateInitialising and -Connected of a backend that needs no negotiation. */
const CONNECTED = "4";
/** Bytes of output that xenconsoled keeps. */
const CONSOLE_LIMIT = "1048576";

/** Nodes that are there before any domain. */
export function plantRoots(local: LocalStore): void {
  for (const path of [
    "/tool",
    "/tool/xenstored",
    "/local",
    "/local/domain",
    "/local/domain/0",
    "/local/domain/0/backend",
    "/local/domain/0/backend/console",
    "/vm",
    "/libxl",
  ]) {
    local.plant(path, "", TOOLSTACK_ONLY);
  }
  local.plant("/local/domain/0/name", "Domain-0", TOOLSTACK_ONLY);
  local.plant("/local/domain/0/domid", "0", TOOLSTACK_ONLY);
}

/** Writes a domain's nodes. */
export function plantDomain(local: LocalStore, facts: DomainFacts): void {
  const { id, name, uuid } = facts;
  const home = domainPath(id);
  const readable: Permissions = [
    { domain: 0, access: NO_ACCESS },
    { domain: id, access: READ },
  ];
  const own: Permissions = [{ domain: id, access: NO_ACCESS }];
  const put = (path: string, value: string, permissions = readable) =>
    local.plant(`${home}/${path}`, value, permissions);
  const bytes = toBytes(name);
  const vm = `/vm/${uuid}`;

  local.plant(home, "", readable);
  put("vm", vm);
  put("name", bytes);
  put("domid", String(id));

  put("cpu", "");
  for (let i = 0; i < facts.vcpus; i++) {
    put(`cpu/${i}`, "");
    put(`cpu/${i}/availability`, i < facts.onlineVcpus ? "online" : "offline");
  }
  put("memory", "");
  put("memory/static-max", String(facts.maxMemoryKib));
  put("memory/target", String(facts.memoryKib));
  put("memory/videoram", "0");

  put("device", "");
  put("device/suspend", "");
  put("device/suspend/event-channel", "", own);
  put("control", "");
  for (const each of ["shutdown", "feature-poweroff", "feature-reboot", "feature-suspend", "sysrq"]) {
    put(`control/${each}`, "", own);
  }
  put("control/platform-feature-multiprocessor-suspend", "1");
  put("control/platform-feature-xs_reset_watches", "1");
  for (const each of ["data", "drivers", "feature", "attr", "error"]) put(each, "", own);

  put("store", "");
  put("store/port", String(facts.storePort));
  put("store/ring-ref", String(facts.storeGfn));
  plantConsole(local, facts, readable);

  local.plant(vm, "", readable);
  local.plant(`${vm}/uuid`, uuid, readable);
  local.plant(`${vm}/name`, bytes, readable);
  if (facts.startedMs > 0) local.plant(`${vm}/start_time`, (facts.startedMs / 1000).toFixed(2), readable);
  local.plant(`/libxl/${id}`, "", TOOLSTACK_ONLY);
  local.plant(`/libxl/${id}/device`, "", TOOLSTACK_ONLY);
  local.plant(`/libxl/${id}/type`, "pvh", TOOLSTACK_ONLY);
}

function plantConsole(local: LocalStore, facts: DomainFacts, readable: Permissions): void {
  const { id } = facts;
  const front = `${domainPath(id)}/console`;
  const backend = consoleBackend(id);
  local.plant(front, "", readable);
  for (const [node, value] of [
    ["backend", `${backend}/0`],
    ["backend-id", "0"],
    ["limit", CONSOLE_LIMIT],
    ["type", "xenconsoled"],
    ["output", "pty"],
    ["tty", ""],
    ["port", String(facts.consolePort)],
    ["ring-ref", String(facts.consoleGfn)],
  ] as const) {
    local.plant(`${front}/${node}`, value, readable);
  }
  local.plant(backend, "", readable);
  local.plant(`${backend}/0`, "", readable);
  for (const [node, value] of [
    ["frontend", front],
    ["frontend-id", String(id)],
    ["online", "1"],
    ["state", CONNECTED],
    ["protocol", "vt100"],
  ] as const) {
    local.plant(`${backend}/0/${node}`, value, readable);
  }
}

/** Removes what `plantDomain` wrote, with what the guest put below. */
export function uprootDomain(local: LocalStore, id: number, uuid: string): void {
  local.remove(domainPath(id));
  local.remove(consoleBackend(id));
  local.remove(`/vm/${uuid}`);
  local.remove(`/libxl/${id}`);
}
