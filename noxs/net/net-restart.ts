/** The bridges and vifs of stable memory, after a restart of the domain: everything goes on, and no guest is told. */
import { NIC_NONE, VIF_ANY_MAC, VIF_MODEL_NOXS } from "../../abi/io/control-net";
import { addressesEnter } from "./addresses";
import { bridgeAt, bridgeJoin } from "./bridges";
import { vifConnect } from "./connect";
import { controlPageGrant, controlPageLook, controlPagePort, goingAdd } from "./control-page";
import { stableHeader, stableVifAt, Vif, vifAt, vifIndexGive, vifName, vifReach, VIFS_MAX } from "./records";
import { uplinkAttach, uplinkCard } from "./uplink";

/** Builds the records in RAM from those in stable memory. */
export function restartVifs(): void {
  for (let i: u32 = 0; i < stableHeader.bridges; i++) restartUplink(i);
  const highest = min(stableHeader.vifs, VIFS_MAX);
  for (let i: u32 = 1; i <= highest; i++) {
    if (!vifReach(i)) return;
    const v = vifAt(i);
    v.index = i;
    v.stable = stableVifAt(i);
    if (v.stable.present || v.stable.going) restartVif(v);
    else vifIndexGive(v);
  }
}

/** Attaches the card that a bridge had, when it is there. */
export function restartUplink(index: u32): void {
  const b = bridgeAt(index);
  if (!b.stable.present || b.uplink || b.stable.nic == NIC_NONE) return;
  const card = uplinkCard(b.stable.nic);
  if (card) uplinkAttach(b, card);
}

function restartVif(v: Vif): void {
  const s = v.stable;
  // All grants again, so that new ones get none of their references.
  controlPageGrant(v);
  if (!s.present) {
    goingAdd(v);
    return;
  }
  const b = bridgeAt(s.bridge);
  bridgeJoin(b, v);
  if (s.flags & VIF_ANY_MAC) b.openVifs++;
  addressesEnter(v);
  vifName(v);
  if (s.connected) {
    const reason = vifConnect(v, true);
    if (reason) {
      s.connected = 0;
      s.failure = reason;
    }
  }
  // The frontend may have asked for something while there was nobody to notice.
  if (s.model == VIF_MODEL_NOXS && controlPagePort(v)) controlPageLook(v);
}
