/** devctl: NoXS's device pages (abi/io/noxs.ts), by which frontends find their devices. */
import {
  __HYPERVISOR_devctl,
  Devctl,
  NoxsDevKey,
  NoxsDevPageEntry,
  XEN_DEVCTL_dev_add,
  XEN_DEVCTL_dev_rem,
  XEN_DEVCTL_get,
  XEN_DEVCTL_VERSION,
} from "../../../abi/io/noxs.ts";
import { checked, hypercall } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";

const CMD = Devctl.cmd / 4;
const DOMAIN = Devctl.domain / 4;
const ENTRY = Devctl.dev_add_dev / 4;
const KEY = Devctl.dev_rem_dev / 4;

const buffer = reserveScratch(Devctl.SIZE, (words) => {
  words[Devctl.version / 4] = XEN_DEVCTL_VERSION;
});

/** A device as its frontend finds it. */
export interface DeviceEntry {
  /** noxs_dev_* */
  type: number;
  /** Unique among the domain's devices of this type. */
  id: number;
  /** The backend's domain, its grant of the control page, and its port that awaits the frontend. */
  backend: number;
  grant: number;
  port: number;
}

/** Adds an entry to a domain's device page. @throws HypercallError, ENOBUFS for a page that is full */
export function addDevice(domain: number, { type, id, backend, grant, port }: DeviceEntry): void {
  const { words } = buffer;
  words[CMD] = XEN_DEVCTL_dev_add;
  words[DOMAIN] = domain;
  words[ENTRY + NoxsDevPageEntry.type / 4] = type;
  words[ENTRY + NoxsDevPageEntry.id / 4] = id;
  words[ENTRY + NoxsDevPageEntry.be_id / 4] = backend;
  words[ENTRY + NoxsDevPageEntry.grant / 4] = grant;
  words[ENTRY + NoxsDevPageEntry.evtchn / 4] = port;
  checked("XEN_DEVCTL_dev_add", hypercall(__HYPERVISOR_devctl, buffer.address));
}

/** Removes an entry. @throws HypercallError, ENOENT for one that is not there */
export function removeDevice(
  domain: number,
  { type, id, backend }: Pick<DeviceEntry, "type" | "id" | "backend">,
): void {
  const { words } = buffer;
  words[CMD] = XEN_DEVCTL_dev_rem;
  words[DOMAIN] = domain;
  words[KEY + NoxsDevKey.type / 4] = type;
  words[KEY + NoxsDevKey.be_id / 4] = backend | (domain << 16); // and fe_id
  words[KEY + NoxsDevKey.devid / 4] = id;
  checked("XEN_DEVCTL_dev_rem", hypercall(__HYPERVISOR_devctl, buffer.address));
}

/**
 * Gives a domain its device page. One that has not run yet thereby has devctl as hypercall 41.
 * @throws HypercallError EOPNOTSUPP for a domain that runs without
 */
export function makeDevicePage(domain: number): void {
  const { words } = buffer;
  words[CMD] = XEN_DEVCTL_get;
  words[DOMAIN] = domain;
  checked("XEN_DEVCTL_get", hypercall(__HYPERVISOR_devctl, buffer.address));
}
