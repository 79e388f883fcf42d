/** What the I/O domain's refusals of requests about bridges mean, and what to do. */
import { EBUSY, EEXIST, EIO, ENODEV, ENOENT, ENOMEM, ENOSPC } from "../../../../abi/errno.ts";
import { IoError, type IoRequests } from "../../noxs/io-requests.ts";
import { listBridges, listNics } from "../../noxs/net-requests.ts";
import { count } from "../../../api/sizes.ts";
import { CommandError } from "../../../api/command-error.ts";

/** What a request is about. */
export interface Subject {
  bridge: string;
  /** The card that is to be attached. */
  card?: number;
}

/** Makes a request; its refusals are told in words. @throws CommandError */
export async function orExplain<T>(io: IoRequests, subject: Subject, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    const words = error instanceof IoError ? await explain(io, subject, error.code) : undefined;
    throw words === undefined ? error : new CommandError(words);
  }
}

async function explain(io: IoRequests, subject: Subject, code: number): Promise<string | undefined> {
  const { bridge, card } = subject;
  switch (code) {
    case ENODEV:
      return "there is no I/O domain: `io-restart` starts it, unless Typevisor was booted with io=off";
    case EEXIST:
      return `there is a bridge "${bridge}" already; \`bridge list\` shows it`;
    case ENOSPC:
      return "there are as many bridges as there can be; `bridge delete` makes room for one";
    case ENOMEM:
      return "the I/O domain has no memory left for it";
    case EIO:
      return card === undefined ? undefined : `network card ${card} does not start; \`dmesg\` says why`;
    case ENOENT:
    case EBUSY:
      break;
    default:
      return undefined;
  }
  const bridges = await listBridges(io);
  const there = bridges.find(({ name }) => name === bridge);
  if (there === undefined) return `there is no bridge "${bridge}"; \`bridge list\` shows them`;
  if (card === undefined) {
    return `${bridge} has ${count(there.vifs, "vif")} on it; \`vif list\` shows them, \`vif detach\` takes them from it`;
  }
  const cards = (await listNics(io)).length;
  if (card >= cards) {
    return `there is no network card ${card}: ${cards === 0 ? "the machine has none" : `the machine has ${cards}, from 0 on`}`;
  }
  if (there.uplink !== null) {
    return `bridge ${bridge} has network card ${there.uplink} already; \`bridge detach ${bridge}\` takes it from it`;
  }
  const user = bridges.find(({ uplink }) => uplink === card);
  return user === undefined
    ? undefined
    : `network card ${card} is bridge ${user.name}'s; \`bridge detach ${user.name}\` takes it from it`;
}
