/**
 * A domain's nodes in the store: those that libxl writes for a PVH domain, with its permissions. "Its own" nodes are
 * writable by the guest, the others readable.
 *
 * Source: Xen's docs/misc/xenstore-paths.pandoc; libxl's libxl__domain_make, libxl__build_post, libxl__device_console_add.
 */
import type { Rings } from "../builder/rings.ts";
import type { GuestDomain, Sizes } from "./domain.ts";
import { NO_ACCESS, READ, type Permissions } from "../store/permissions.ts";
import { toBytes, type LocalStore } from "../store/local.ts";
import type { Branch } from "../store/node.ts";
import type { Unwritten } from "../store/unwritten.ts";

/** Contents of a domain's nodes. */
interface DomainFacts extends Rings, Sizes {
  name: string;
  /** As XENVER_guest_handle tells it. */
  uuid: string;
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

/** A domain's nodes, written at the first change. */
export class DomainNodes implements Unwritten {
  /** @param rings its console's and the store's */
  constructor(
    private readonly domain: GuestDomain,
    private readonly rings: Rings,
  ) {}

  get directories(): readonly string[] {
    return DIRECTORIES;
  }

  tops(): readonly string[] {
    return topsOf(this.domain.id, this.domain.uuid);
  }

  branches(): readonly Branch[] {
    const { domain } = this;
    const { id, name, uuid, sizes } = domain;
    if (sizes.startedMs === 0) sizes.startedMs = domain.startedMs();
    const [home, , vm] = topsOf(id, uuid);
    const all: DomainFacts = { ...this.rings, ...sizes, name, uuid };
    const readable: Permissions = [
      { domain: 0, access: NO_ACCESS },
      { domain: id, access: READ },
    ];
    return [
      homeBranch(all, vm, readable),
      consoleBackendBranch(id, home, readable),
      vmBranch(all, readable),
      libxlBranch(id),
    ];
  }
}

const DIRECTORIES = ["/local/domain", "/local/domain/0/backend/console", "/vm", "/libxl"] as const;

/** The paths of what is written for a domain. */
function topsOf(id: number, uuid: string): [home: string, backend: string, vm: string, libxl: string] {
  return [domainPath(id), consoleBackend(id), `/vm/${uuid}`, `/libxl/${id}`];
}

function homeBranch(facts: DomainFacts, vm: string, readable: Permissions): Branch {
  const { id } = facts;
  const ownPermissions: Permissions = [{ domain: id, access: NO_ACCESS }];
  const own = (name: string): Branch => [name, "", ownPermissions];
  const node = (name: string, data: string): Branch => [name, data, readable];
  const directory = (name: string, below: Branch[]): Branch => [name, "", readable, below];
  const cpus: Branch[] = [];
  for (let i = 0; i < facts.vcpus; i++) {
    cpus.push(directory(String(i), [node("availability", i < facts.onlineVcpus ? "online" : "offline")]));
  }
  return [
    String(id),
    "",
    readable,
    [
      node("vm", vm),
      node("name", toBytes(facts.name)),
      node("domid", String(id)),
      directory("cpu", cpus),
      directory("memory", [
        node("static-max", String(facts.maxMemoryKib)),
        node("target", String(facts.memoryKib)),
        node("videoram", "0"),
      ]),
      directory("device", [directory("suspend", [own("event-channel")])]),
      directory("control", [
        own("shutdown"),
        own("feature-poweroff"),
        own("feature-reboot"),
        own("feature-suspend"),
        own("sysrq"),
        node("platform-feature-multiprocessor-suspend", "1"),
        node("platform-feature-xs_reset_watches", "1"),
      ]),
      own("data"),
      own("drivers"),
      own("feature"),
      own("attr"),
      own("error"),
      directory("store", [node("port", String(facts.storePort)), node("ring-ref", String(facts.storeGfn))]),
      directory("console", [
        node("backend", `${consoleBackend(id)}/0`),
        node("backend-id", "0"),
        node("limit", CONSOLE_LIMIT),
        node("type", "xenconsoled"),
        node("output", "pty"),
        node("tty", ""),
        node("port", String(facts.consolePort)),
        node("ring-ref", String(facts.consoleGfn)),
      ]),
    ],
  ];
}

function consoleBackendBranch(id: number, home: string, readable: Permissions): Branch {
  const nodes: Branch[] = [
    ["frontend", `${home}/console`, readable],
    ["frontend-id", String(id), readable],
    ["online", "1", readable],
    ["state", CONNECTED, readable],
    ["protocol", "vt100", readable],
  ];
  return [String(id), "", readable, [["0", "", readable, nodes]]];
}

function vmBranch({ uuid, name, startedMs }: DomainFacts, readable: Permissions): Branch {
  const nodes: Branch[] = [
    ["uuid", uuid, readable],
    ["name", toBytes(name), readable],
  ];
  if (startedMs > 0) nodes.push(["start_time", (startedMs / 1000).toFixed(2), readable]);
  return [uuid, "", readable, nodes];
}

function libxlBranch(id: number): Branch {
  const nodes: Branch[] = [
    ["device", "", TOOLSTACK_ONLY],
    ["type", "pvh", TOOLSTACK_ONLY],
  ];
  return [String(id), "", TOOLSTACK_ONLY, nodes];
}

/** Writes another name into a domain's nodes, which are there. */
export function renameNodes(local: LocalStore, id: number, uuid: string, name: string): void {
  for (const top of [domainPath(id), `/vm/${uuid}`]) local.write(`${top}/name`, name);
}

/** Removes the nodes written by `domainNodes`, with everything the guest wrote below them. */
export function uprootDomain({ store }: LocalStore, id: number, uuid: string): void {
  for (const top of topsOf(id, uuid)) store.uproot(top);
}
