/** What a network frontend says through the store (xen/io/netif.h), and what the backend says to it. */
import { flagNode, FrontendError, numberNode, optionalNumber, type Nodes, type ReadNode } from "./xenbus.ts";

export interface VifQueue {
  txRef: number;
  rxRef: number;
  txPort: number;
  /** The same as `txPort` where one event channel serves both rings. */
  rxPort: number;
}

export interface VifFrontend {
  queues: VifQueue[];
  rxNotify: boolean;
  sg: boolean;
  gsoTcpv4: boolean;
  gsoTcpv6: boolean;
  /** It wants complete checksums in IPv4 packets; and in IPv6 ones. */
  noChecksumOffload: boolean;
  noIpv6ChecksumOffload: boolean;
  multicastControl: boolean;
  control: { ref: number; port: number } | null;
}

/** Queues that a vif may have. */
export const VIF_QUEUES = 8;

/** Written before InitWait. */
export function vifFeatures(): Nodes {
  return [
    ["feature-sg", "1"],
    ["feature-gso-tcpv4", "1"],
    ["feature-gso-tcpv6", "1"],
    ["feature-ipv6-csum-offload", "1"],
    ["feature-rx-copy", "1"],
    ["feature-rx-flip", "0"],
    ["feature-split-event-channels", "1"],
    ["multi-queue-max-queues", String(VIF_QUEUES)],
  ];
}

/** @throws FrontendError */
export function readVifFrontend(read: ReadNode): VifFrontend {
  if (!flagNode(read, "request-rx-copy")) throw new FrontendError("it wants received frames by page flipping");
  const count = optionalNumber(read, "multi-queue-num-queues") ?? 1;
  if (count < 1 || count > VIF_QUEUES)
    throw new FrontendError(`it wants ${count} queues: 1 to ${VIF_QUEUES} are possible`);
  const queues: VifQueue[] = [];
  for (let i = 0; i < count; i++) queues.push(readQueue(read, count > 1 ? `queue-${i}/` : ""));
  const controlRef = optionalNumber(read, "ctrl-ring-ref");
  return {
    queues,
    rxNotify: flagNode(read, "feature-rx-notify"),
    sg: flagNode(read, "feature-sg"),
    gsoTcpv4: flagNode(read, "feature-gso-tcpv4"),
    gsoTcpv6: flagNode(read, "feature-gso-tcpv6"),
    noChecksumOffload: flagNode(read, "feature-no-csum-offload"),
    noIpv6ChecksumOffload: !flagNode(read, "feature-ipv6-csum-offload"),
    multicastControl: flagNode(read, "request-multicast-control"),
    control: controlRef === undefined ? null : { ref: controlRef, port: numberNode(read, "event-channel-ctrl") },
  };
}

function readQueue(read: ReadNode, prefix: string): VifQueue {
  const txRef = numberNode(read, `${prefix}tx-ring-ref`);
  const rxRef = numberNode(read, `${prefix}rx-ring-ref`);
  const shared = optionalNumber(read, `${prefix}event-channel`);
  if (shared !== undefined) return { txRef, rxRef, txPort: shared, rxPort: shared };
  return {
    txRef,
    rxRef,
    txPort: numberNode(read, `${prefix}event-channel-tx`),
    rxPort: numberNode(read, `${prefix}event-channel-rx`),
  };
}
