/** Tunnels from clients to guests' TCP ports: domain 0 connects from its own address, and passes bytes both ways. */
import { CommandError } from "../../../api/command-error.ts";
import { WINDOW_FIRST } from "../../../api/protocol.ts";
import { forwardRequest, TUNNELS_MOST } from "../../../api/requests/domains.ts";
import { ByteRing } from "../../byte-ring.ts";
import type { Interruption } from "../../interruption.ts";
import type { OutgoingConnection } from "../../net/connection.ts";
import { forwardAddress } from "../../net/guest-address.ts";
import { network } from "../../net/network.ts";
import { formatIpv4 } from "../../../api/devices/addresses.ts";
import { Task } from "../../tasks.ts";
import { after } from "../../timers.ts";
import { handler, type ByteStream } from "../handler.ts";
import { namedDomain } from "../life.ts";

/** A guest that does not answer at all is given up after so long. */
const CONNECT_MS = 10_000;
/** Bytes that are passed from a guest in one piece. */
const PIECE = 16 * 1024;

let open = 0;

/** One tunnel. */
class Tunnel {
  toGuest = 0;
  fromGuest = 0;
  /** What the guest has no room for yet: the client sends no more than the window that it was given. */
  private readonly pending = new ByteRing(WINDOW_FIRST);
  private readonly piece = new Uint8Array(PIECE);
  private clientFinished = false;
  private told = false;
  /** It will be called when the client has taken something. */
  private waits = false;
  /** Behind the other tasks of a turn: what has come in several packets is passed on in one piece. */
  private readonly task = new Task("a forwarded connection", () => {
    this.pass();
    return false;
  });

  /**
   * @param place of the guest's port, for messages
   * @param settle called once, with what went wrong, or without when both directions have ended
   */
  constructor(
    private readonly connection: OutgoingConnection,
    private readonly client: ByteStream,
    private readonly place: string,
    private readonly settle: (error?: CommandError) => void,
  ) {
    connection.onReady = () => this.task.request();
    client.onInput = (bytes) => {
      this.pending.add(bytes);
      this.pass();
    };
    client.onInputEnd = () => {
      this.clientFinished = true;
      this.pass();
    };
  }

  /** Passes on what there is, as far as there is room. */
  private pass(): void {
    const { connection } = this;
    if (connection.progress === "refused") {
      this.settle(new CommandError(`nothing listens on ${this.place}: the connection was refused`));
      return;
    }
    if (connection.progress === "connecting" && connection.ended === null) return;
    this.fromClient();
    this.toClient();
    if (connection.ended === "reset") this.settle(new CommandError(`the connection to ${this.place} was reset`));
    else if (connection.ended !== null) this.settle();
  }

  private fromClient(): void {
    while (this.pending.length > 0) {
      const accepted = this.connection.write(this.pending.peek(PIECE));
      if (accepted === 0) return;
      this.pending.drop(accepted);
      this.toGuest += accepted;
      this.client.consumed(accepted);
    }
    if (this.clientFinished) this.connection.finish();
  }

  private drained(): void {
    this.waits = false;
    this.pass();
  }

  private toClient(): void {
    const { client, connection, piece } = this;
    for (;;) {
      if (client.full()) {
        if (!this.waits) client.whenDrained(() => this.drained());
        this.waits = true;
        return;
      }
      const count = connection.read(piece);
      if (count === 0) break;
      this.fromGuest += count;
      client.write(piece.subarray(0, count));
    }
    if (!connection.peerFinished || this.told) return;
    this.told = true;
    client.endOutput();
  }
}

/** How a tunnel ends besides by its two sides. */
export interface TunnelEndings {
  /** Of the guest's port, for messages. */
  place: string;
  /** Raised when the client has gone, or does not want it any longer. */
  interruption: Interruption;
  /** Tells why the guest has ended. @returns withdraws the listener */
  onGuestEnd: (listener: (reason: string) => void) => () => void;
}

/**
 * Passes bytes both ways until both directions have ended; the connection is over then, however it went.
 * @returns bytes passed
 * @throws CommandError: refused, reset, no answer, cancelled, or the guest has ended
 */
export async function passBytes(
  connection: OutgoingConnection,
  client: ByteStream,
  { place, interruption, onGuestEnd }: TunnelEndings,
): Promise<{ toGuest: number; fromGuest: number }> {
  const withdraw: (() => void)[] = [];
  try {
    return await new Promise((resolve, reject) => {
      const tunnel = new Tunnel(connection, client, place, (error) => {
        if (error === undefined) resolve({ toGuest: tunnel.toGuest, fromGuest: tunnel.fromGuest });
        else reject(error);
      });
      interruption.onRaise(() => reject(new CommandError("cancelled: the connection was closed")));
      withdraw.push(
        onGuestEnd((reason) => reject(new CommandError(`the guest has ended: ${reason}`))),
        after(CONNECT_MS, () => {
          if (connection.progress !== "connecting") return;
          reject(new CommandError(`no answer from ${place} within ${CONNECT_MS / 1000} s`));
        }),
      );
    });
  } finally {
    for (const each of withdraw) each();
    client.onInput = (bytes) => client.consumed(bytes.length);
    client.onInputEnd = () => {};
    connection.onReady = () => {};
    connection.abort(); // nothing, where it has ended
  }
}

export const forward = handler(forwardRequest, async ({ id, port, address }, { domains, stream, interruption }) => {
  const domain = namedDomain(id, domains);
  if (domain.ended !== null) throw new CommandError(`${domain} has ended already: ${domain.ended}`);
  const to = forwardAddress(domain, address, network);
  if (port === 0) return { address: formatIpv4(to), toGuest: 0, fromGuest: 0 };
  if (open >= TUNNELS_MOST) throw new CommandError(`there are ${TUNNELS_MOST} forwarded connections already`);
  const connection = network.tcp.connect(to, port);
  if (connection === null) throw new CommandError("domain 0 has no connection left");
  const place = `port ${port} of ${formatIpv4(to)}, ${domain}`;
  open++;
  try {
    const onGuestEnd = (listener: (reason: string) => void) => domain.onEnd(listener);
    return { address: formatIpv4(to), ...(await passBytes(connection, stream!, { place, interruption, onGuestEnd })) };
  } finally {
    open--;
  }
});
