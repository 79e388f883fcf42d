/**
 * Frames of our guest `nettest` through back end and switch, on Typevisor and through Linux's in a domain 0 on Debian's Xen: the
 * same guests, cards and machine.
 */
import { costsOf, linesOfRuns, runCounted } from "./guest.ts";
import { type Domain0Job, VIRTIO_DRIVERS } from "./xen-dom0/archive.ts";
import { COMPARED_MACHINE, runDomain0 } from "./xen-dom0/machine.ts";
import { saidBy, XL_FUNCTIONS, xlGuestFiles } from "./xen-dom0/guests.ts";

/** A way of frames whose cost is measured. */
export interface FrameRun {
  name: string;
  what: string;
  /** To another guest, or to a card: one of CARDS. */
  to: "guest" | (typeof CARDS)[number]["name"];
  /** Options of the sender that say what it sends. */
  frames: string;
}

/** Bridges beside the one of the guests, each with a card, in the order of the cards. Nobody listens on the wire. */
const CARDS = [
  { name: "virtio", bridge: "xenbr0", device: "virtio-net-pci" },
  { name: "e1000e", bridge: "xenbr1", device: "e1000e" },
] as const;

const INNER_BRIDGE = "inner";
const RECEIVER_MAC = "00:16:3e:00:00:02";
const SENDER_MAC = "00:16:3e:00:00:01";

const SMALL = "size=1514 frames=4000 warm=400";
/** Headers and 45 segments of 1,448 bytes, the most that fit into 64 KiB. */
const LARGE = "size=65214 gso=1448 frames=400 warm=40";

export const FRAME_RUNS: FrameRun[] = [
  { name: "guest-small", what: "1,500-byte frame, guest to guest", to: "guest", frames: SMALL },
  { name: "guest-large", what: "64 KiB GSO frame, guest to guest", to: "guest", frames: LARGE },
  { name: "virtio-small", what: "1,500-byte frame, guest to virtio-net card", to: "virtio", frames: SMALL },
  { name: "e1000e-small", what: "1,500-byte frame, guest to e1000e card", to: "e1000e", frames: SMALL },
  { name: "e1000e-large", what: "64 KiB GSO frame, guest to e1000e card", to: "e1000e", frames: LARGE },
];

const CARD_DEVICES = CARDS.flatMap(({ device }, n) => [
  ...["-netdev", `hubport,id=net${n},hubid=${n}`],
  ...["-device", `${device},netdev=net${n}`],
]);

function bridgeOf(run: FrameRun): string {
  return CARDS.find(({ name }) => name === run.to)?.bridge ?? INNER_BRIDGE;
}

function senderOptions(run: FrameRun, spinner: number | string): string {
  const unheard = run.to === "guest" ? "" : " unheard";
  return `role=send ${run.frames} mac=${RECEIVER_MAC} spinner=${spinner}${unheard}`;
}

const RECEIVER_OPTIONS = "role=receive unchecked";

/**
 * Instructions per frame, from what the sender printed: all that was executed while it sent, but for the spinner's. To a guest it
 * is per frame that arrived: one that a full queue has dropped was paid for in vain.
 * @throws Error with what it said when there is no such line, or none has arrived
 */
export function frameCost(run: Pick<FrameRun, "name" | "to">, lines: string[]): number {
  const text = lines.join("\n");
  const sent = /^nettest send (\d+) frames \d+ bytes (\d+) ticks (\d+) idle$/m.exec(text);
  const arrived = /^nettest arrived (\d+) of (\d+) frames$/m.exec(text);
  const toGuest = run.to === "guest";
  if (sent === null || (toGuest && arrived === null))
    throw new Error(`${run.name}: the sender gave no figure:\n${text}`);
  const [frames, ticks, idle] = sent.slice(1).map(Number) as [number, number, number];
  const cost = (ticks - idle) / frames;
  if (arrived === null || !toGuest) return cost;
  if (arrived[1] === "0") throw new Error(`${run.name}: no frame has arrived:\n${text}`);
  return (cost * Number(arrived[2])) / Number(arrived[1]);
}

/** Domains get their numbers one after the other, from 1. */
function typevisorCommands(model: "noxs" | "xenbus"): string[] {
  let next = 1;
  const setUp = [
    `bridge create ${INNER_BRIDGE}`,
    ...CARDS.slice(1).flatMap(({ bridge }, n) => [`bridge create ${bridge}`, `bridge attach ${bridge} ${n + 1}`]),
  ];
  const runs = FRAME_RUNS.flatMap((run) => {
    const spinner = next;
    const receives = run.to === "guest";
    next += receives ? 3 : 2;
    const vif = (mac: string) => `--kernel nettest --memory 16 --${model} --vif bridge=${bridgeOf(run)},mac=${mac}`;
    return [
      `echo run ${run.name}`,
      `create --kernel spin --memory 16 --cmdline "share=${next - 1}"`,
      `js domctl.setWeight(${spinner}, 1)`,
      ...(receives ? [`create ${vif(RECEIVER_MAC)} --cmdline "${RECEIVER_OPTIONS}"`] : []),
      `create ${vif(SENDER_MAC)} --cmdline "${senderOptions(run, spinner)}" --wait`,
      `destroy ${spinner}`,
    ];
  });
  return [...setUp, ...runs];
}

/** Instructions per frame of each run on Typevisor, by its name. */
export async function typevisorFrames(model: "noxs" | "xenbus"): Promise<Map<string, number>> {
  const output = await runCounted(typevisorCommands(model).join("; "), { ...COMPARED_MACHINE, devices: CARD_DEVICES });
  const said = linesOfRuns(output);
  return costsOf(FRAME_RUNS, (run) => frameCost(run, said.get(run.name) ?? [output]));
}

const BRIDGES = [{ bridge: INNER_BRIDGE }, ...CARDS];

const XEN_SCRIPT = `${XL_FUNCTIONS}
${BRIDGES.map(({ bridge }) => `brctl addbr ${bridge}; ip link set ${bridge} up`).join("\n")}
${CARDS.map(({ bridge }, n) => `brctl addif ${bridge} eth${n}; ip link set eth${n} up`).join("\n")}
${FRAME_RUNS.map((run) =>
  [
    `spinner=$NEXT`,
    `start spin share=$((NEXT + ${run.to === "guest" ? 2 : 1}))`,
    ...(run.to === "guest" ? [`start receive "${RECEIVER_OPTIONS}"`] : []),
    `await ${run.name} send-${bridgeOf(run)} "${senderOptions(run, "$spinner")}"`,
    `xl destroy $spinner`,
  ].join("\n"),
).join("\n")}
`;

/** Them as a job of domain 0. */
export function networkJob(): Domain0Job {
  const vif = (bridge: string, mac: string) => [`mac=${mac},bridge=${bridge}`];
  return {
    name: "network",
    script: XEN_SCRIPT,
    files: xlGuestFiles([
      { config: "spin", kernel: "spin", weight: 1 },
      { config: "receive", kernel: "nettest", vifs: vif(INNER_BRIDGE, RECEIVER_MAC) },
      ...BRIDGES.map(({ bridge }) => ({ config: `send-${bridge}`, kernel: "nettest", vifs: vif(bridge, SENDER_MAC) })),
    ]),
    drivers: [
      ...["net/llc/llc", "net/802/stp", "net/bridge/bridge", "drivers/net/xen-netback/xen-netback"],
      ...VIRTIO_DRIVERS,
      ...["net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"],
      "drivers/net/ethernet/intel/e1000e/e1000e",
    ],
    devices: CARD_DEVICES,
  };
}

/** The same through Linux's back end and bridge; undefined where Xen cannot be had (the reason is printed). */
export async function linuxFrames(): Promise<Map<string, number> | undefined> {
  const lines = await runDomain0(networkJob());
  if (lines === undefined) return undefined;
  return costsOf(FRAME_RUNS, (run) => frameCost(run, saidBy(lines, run.name)));
}
