/** Guests on a bridge, ready to send. */
import { VIF_MODEL_NOXS, VIF_MODEL_XENBUS } from "../../../../abi/io/control-net.ts";
import { XenbusStateConnected } from "../../../../abi/io/xenbus.ts";
import { Frontend, type FrontendOptions } from "./frontend.ts";
import { type BridgeConfig, guestMac, Net, type VifConfig } from "./module.ts";
import type { Host } from "./packets.ts";

/** The address of a guest in tests that give it one. */
export function hostOf(domid: number): Host {
  return { mac: guestMac(domid), ip: `10.0.${domid >> 8}.${domid & 255}` };
}

/** A back end with bridge br0. */
export async function netWithBridge(config: BridgeConfig = {}): Promise<Net> {
  const net = await Net.start();
  const status = net.createBridge("br0", config);
  if (status !== 0) throw new Error(`bridge: ${status}`);
  return net;
}

/** A guest with a connected vif. */
export function join(net: Net, domid: number, vif: VifConfig = {}, options: FrontendOptions = {}): Frontend {
  const front = new Frontend(net, domid, { devid: vif.devid ?? 0, ...options });
  const entry = net.addVif(domid, vif);
  if (entry.status !== 0) throw new Error(`vif of domain ${domid}: ${entry.status}`);
  if ((vif.model ?? VIF_MODEL_NOXS) === VIF_MODEL_XENBUS) {
    const status = front.connectXenbus();
    if (status !== 0) throw new Error(`connecting domain ${domid}: ${status}`);
  } else if (front.connectNoxs(entry) !== XenbusStateConnected) {
    throw new Error(`domain ${domid} is not connected`);
  }
  return front;
}

/** The guests' shared expectations at the end of a test: nothing of the pool is held, and nothing of them is in use. */
export function poolIsFree(net: Net): boolean {
  return net.exports["poolUsed"]!() === 0;
}
