/**
 * Frames of our guest `nettest` through back end and switch, on Typevisor and through Linux's in a domain 0 on Debian's Xen: the
 * same guests, cards and machine.
 */
import { costsOf, linesOfRuns, runCounted, SETTLE } from "./guest.ts";
import { type Domain0Job, VIRTIO_DRIVERS } from "./xen-dom0/archive.ts";
import { COMPARED_MACHINE, runDomain0 } from "./xen-dom0/machine.ts";
import { SAID, saidBy, XL_FUNCTIONS, xlGuestFiles } from "./xen-dom0/guests.ts";

/** A way of frames whose cost is measured. */
export interface FrameRun {
  name: string;
  what: string;
  /** To another guest, or to a card: one of CARDS. */
  to: "guest" | (typeof CARDS)[number]["name"];
  /** What it sends: how many behind how many to warm up; options of the sender that say what frames. */
  sends: { frames: number; warm: number; size: string };
}

/** Bridges beside the one of the guests, each with a card, in the order of the cards. */
const CARDS = [
  { name: "virtio", bridge: "xenbr0", device: "virtio-net-pci" },
  { name: "e1000e", bridge: "xenbr1", device: "e1000e" },
] as const;

const INNER_BRIDGE = "inner";
const RECEIVER_MAC = "00:16:3e:00:00:02";
const SENDER_MAC = "00:16:3e:00:00:01";

const SMALL = { frames: 4000, warm: 400, size: "size=1514" };
/** Headers and 45 segments of 1,448 bytes, the most that fit into 64 KiB. */
const LARGE = { frames: 400, warm: 40, size: "size=65214 gso=1448" };

export const FRAME_RUNS: FrameRun[] = [
  { name: "guest-small", what: "1,500-byte frame, guest to guest", to: "guest", sends: SMALL },
  { name: "guest-large", what: "64 KiB GSO frame, guest to guest", to: "guest", sends: LARGE },
  { name: "virtio-small", what: "1,500-byte frame, guest to virtio-net card", to: "virtio", sends: SMALL },
  { name: "e1000e-small", what: "1,500-byte frame, guest to e1000e card", to: "e1000e", sends: SMALL },
  { name: "e1000e-large", what: "64 KiB GSO frame, guest to e1000e card", to: "e1000e", sends: LARGE },
];

/** The wire takes every frame and brings none: UDP to the port of RFC 863, where nobody listens. A hub without another port takes none. */
const CARD_DEVICES = CARDS.flatMap(({ device }, n) => [
  ...["-netdev", `socket,id=net${n},udp=127.0.0.1:9,localaddr=127.0.0.1:0`],
  ...["-device", `${device},netdev=net${n}`],
]);

function bridgeOf(run: Pick<FrameRun, "to">): string {
  return CARDS.find(({ name }) => name === run.to)?.bridge ?? INNER_BRIDGE;
}

function senderOptions({ to, sends }: FrameRun, spinner: number | string): string {
  const { frames, warm, size } = sends;
  const unheard = to === "guest" ? "" : " unheard";
  return `role=send ${size} frames=${frames} warm=${warm} ${SETTLE} mac=${RECEIVER_MAC} spinner=${spinner}${unheard}`;
}

const RECEIVER_OPTIONS = "role=receive unchecked";

/** Frames that have left through the card of a run's bridge, from what was printed before and behind it. */
function leftThrough(bridge: string, text: string): number {
  const counts = [...text.matchAll(new RegExp(`"name":"${bridge}"[^}]*"framesOut":(\\d+)`, "g"))].map((m) =>
    Number(m[1]),
  );
  return counts.length < 2 ? 0 : counts.at(-1)! - counts[0]!;
}

/**
 * Instructions per frame, from what was printed: all that was executed while the sender sent, but for the spinner's. To a guest it
 * is per frame that arrived: one that a full queue has dropped was paid for in vain. All frames to a card must have left.
 * @throws Error with what was printed when there is no figure, or frames are missing
 */
export function frameCost(run: Pick<FrameRun, "name" | "to">, lines: string[]): number {
  const text = lines.join("\n");
  const wrong = (what: string) => new Error(`${run.name}: ${what}:\n${text}`);
  const sent = /^nettest send (\d+) frames \d+ bytes (\d+) ticks (\d+) idle$/m.exec(text);
  if (sent === null) throw wrong("the sender gave no figure");
  const [frames, ticks, idle] = sent.slice(1).map(Number) as [number, number, number];
  const cost = (ticks - idle) / frames;
  if (run.to === "guest") {
    const arrived = /^nettest arrived (\d+) of (\d+) frames$/m.exec(text);
    if (arrived === null || arrived[1] === "0") throw wrong("no frame has arrived");
    return (cost * Number(arrived[2])) / Number(arrived[1]);
  }
  const left = leftThrough(bridgeOf(run), text);
  if (left < frames) throw wrong(`${left} of ${frames} frames have left`);
  return cost;
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
    const count = receives ? [] : ["bridge list --json"];
    const vif = (mac: string) => `--kernel nettest --memory 16 --${model} --vif bridge=${bridgeOf(run)},mac=${mac}`;
    return [
      `echo run ${run.name}`,
      ...count,
      `create --kernel spin --memory 16 --cmdline "share=${next - 1}"`,
      `js domctl.setWeight(${spinner}, 1)`,
      ...(receives ? [`create ${vif(RECEIVER_MAC)} --cmdline "${RECEIVER_OPTIONS}"`] : []),
      `create ${vif(SENDER_MAC)} --cmdline "${senderOptions(run, spinner)}" --wait`,
      ...count,
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

/** Says how many frames have left through the card of a bridge: as Typevisor does. */
function countCommand({ name, to }: FrameRun): string[] {
  const n = CARDS.findIndex((card) => card.name === to);
  if (n < 0) return [];
  const count = `"framesOut":$(cat /sys/class/net/eth${n}/statistics/tx_packets)`;
  return [`echo "${SAID} ${name} {\\"name\\":\\"${CARDS[n]!.bridge}\\",${count.replaceAll('"', '\\"')}}"`];
}

const XEN_SCRIPT = `${XL_FUNCTIONS}
${BRIDGES.map(({ bridge }) => `brctl addbr ${bridge}; ip link set ${bridge} up`).join("\n")}
${CARDS.map(({ bridge }, n) => `brctl addif ${bridge} eth${n}; ip link set eth${n} up`).join("\n")}
${FRAME_RUNS.map((run) =>
  [
    ...countCommand(run),
    `spinner=$NEXT`,
    `start spin share=$((NEXT + ${run.to === "guest" ? 2 : 1}))`,
    ...(run.to === "guest" ? [`start receive "${RECEIVER_OPTIONS}"`] : []),
    `await ${run.name} send-${bridgeOf(run)} "${senderOptions(run, "$spinner")}"`,
    ...countCommand(run),
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
