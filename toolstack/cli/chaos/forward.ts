/** Ports of this computer's, on 127.0.0.1, connected with a guest's through the control connection: `chaos forward`, `chaos run --forward`. */
import { once } from "node:events";
import net from "node:net";
import { Command } from "commander";
import { CommandError } from "../../api/command-error.ts";
import { forwardRequest, waitRequest } from "../../api/requests/domains.ts";
import { isToolError } from "../tool-error.ts";
import { withRequest } from "./request-commands.ts";
import type { ToolSession } from "./session.ts";

/** Where the ports are: nobody else's computer reaches them. */
export const LOCAL = "127.0.0.1";
/**
 * Connections of one `chaos` that are open at a time: each is a request, of which a client has 16 (REQUESTS_MOST). Further ones wait until one
 * has ended, so many at most.
 */
const OPEN_MOST = 12;
const WAITING_MOST = 256;
const PORT_MOST = 65_535;

export interface Forward {
  /** 0: any free one. */
  hostPort: number;
  port: number;
  /** One of several addresses of the guest's. */
  address?: string;
}

export const FORWARD_FORMS = "[tcp:]HOSTPORT:PORT or tcp:HOSTPORT:ADDRESS:PORT, such as 8080:80";

/** @throws CommandError */
export function parseForward(what: string, text: string): Forward {
  const match = /^(?:([a-z]+):)?([0-9]{1,5}):(?:([0-9]+\.[0-9.]+):)?([0-9]{1,5})$/.exec(text);
  if (match === null) throw new CommandError(`${what}: "${text}" is not ${FORWARD_FORMS}`);
  const [, protocol = "tcp", hostPort, address, port] = match;
  if (protocol === "udp") {
    throw new CommandError(
      `${what}: ${text}: UDP is not forwarded through the control connection, which carries streams; \`npm start -- --forward ${text}\` ` +
        "does it for a machine on this computer",
    );
  }
  if (protocol !== "tcp") throw new CommandError(`${what}: "${text}" is not ${FORWARD_FORMS}`);
  if (Number(hostPort) > PORT_MOST || Number(port) > PORT_MOST || Number(port) === 0) {
    throw new CommandError(`${what}: "${text}": ports are 1 to ${PORT_MOST}, HOSTPORT also 0: any that is free`);
  }
  return { hostPort: Number(hostPort), port: Number(port), ...(address === undefined ? {} : { address }) };
}

/** A port if it is free, else another one. */
export async function freeOr(port: number): Promise<number> {
  const probe = net.createServer();
  try {
    probe.listen(port, LOCAL);
    await once(probe, "listening");
  } catch {
    probe.listen(0, LOCAL);
    await once(probe, "listening");
  }
  const found = (probe.address() as net.AddressInfo).port;
  probe.close();
  await once(probe, "close");
  return found;
}

/** Listeners of this process's, with their connections. */
export class Forwarder {
  private readonly servers: net.Server[] = [];
  private readonly forwards: Forward[] = [];
  private readonly open = new Set<net.Socket>();
  private readonly waiting: (() => void)[] = [];
  private requests = 0;
  private domain = "";
  /** Why the last one failed: said once for many of the same. */
  private lastFailure = "";

  constructor(private readonly session: ToolSession) {}

  /**
   * Listens, before there is a guest: a port that is in use is found early.
   * @returns the port that was taken
   * @throws CommandError when it is in use, or not allowed
   */
  async listen(forward: Forward): Promise<number> {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.accept(socket, forward),
    );
    try {
      server.listen(forward.hostPort, LOCAL);
      await once(server, "listening");
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === "EADDRINUSE" ? "it is in use" : code === "EACCES" ? "you may not listen there" : message;
      throw new CommandError(`port ${forward.hostPort} of ${LOCAL}: ${why}`);
    }
    this.servers.push(server);
    this.forwards.push(forward);
    return (server.address() as net.AddressInfo).port;
  }

  /**
   * Connections are the guest's from now on.
   * @param domain its id or name
   * @throws RequestFailed when domain 0 cannot connect to one of its addresses
   */
  async serve(domain: string): Promise<void> {
    for (const address of new Set(this.forwards.map((forward) => forward.address))) {
      await this.session.ask(forwardRequest, { id: domain, port: 0, address });
    }
    this.domain = domain;
    this.next();
  }

  private accept(socket: net.Socket, forward: Forward): void {
    socket.on("error", () => {}); // the end of this connection, which "close" tells
    if (this.waiting.length >= WAITING_MOST) {
      this.fail(`more than ${WAITING_MOST} connections wait`, socket);
      return;
    }
    this.open.add(socket);
    socket.on("close", () => this.open.delete(socket));
    this.waiting.push(() => void this.tunnel(socket, forward));
    this.next();
  }

  private next(): void {
    while (this.domain !== "" && this.requests < OPEN_MOST && this.waiting.length > 0) this.waiting.shift()!();
  }

  private async tunnel(socket: net.Socket, { port, address }: Forward): Promise<void> {
    if (socket.destroyed) return;
    this.requests++;
    const gone = new AbortController();
    const { domain: id, session } = this;
    let finished = false;
    socket.on("close", () => {
      if (!finished) gone.abort();
    });
    try {
      const { result, stream } = await session.start(forwardRequest, { id, port, address }, gone.signal);
      stream.on("error", () => {});
      socket.pipe(stream);
      stream.pipe(socket, { end: false });
      // The guest's side has ended, or the tunnel is over: only an orderly end is passed on.
      let failed = false;
      stream.on("end", () => {
        if (!failed) setImmediate(() => failed || socket.end());
      });
      try {
        await result;
      } catch (error) {
        failed = true;
        throw error;
      }
      finished = true;
    } catch (error) {
      if (!isToolError(error)) throw error;
      if (gone.signal.aborted || session.interrupted) socket.destroy();
      else this.fail(error.message, socket);
    } finally {
      this.requests--;
      this.next();
    }
  }

  private fail(message: string, socket: net.Socket): void {
    if (message !== this.lastFailure) process.stderr.write(`chaos: a forwarded connection failed: ${message}\n`);
    this.lastFailure = message;
    socket.resetAndDestroy();
  }

  /** Ends everything. */
  close(): void {
    for (const server of this.servers) server.close();
    for (const socket of this.open) socket.destroy();
  }
}

async function forward(session: ToolSession, domain: string, texts: string[]): Promise<void> {
  const forwards = texts.map((text) => parseForward("PORTS", text));
  const forwarder = new Forwarder(session);
  try {
    const lines: string[] = [];
    for (const each of forwards) {
      const hostPort = await forwarder.listen(each);
      lines.push(`${LOCAL}:${hostPort} is forwarded to port ${each.port} of ${domain}; Ctrl-C ends it\n`);
    }
    await forwarder.serve(domain);
    const { result } = await session.start(waitRequest, { id: domain });
    process.stdout.write(lines.join(""));
    const { ended } = await result;
    throw new CommandError(`${domain} has ended: ${ended}`);
  } catch (error) {
    if (!session.interrupted) throw error;
  } finally {
    forwarder.close();
  }
}

/** @param within runs something with a session */
export function forwardCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  const command = new Command("forward")
    .description("connect ports of this computer, on 127.0.0.1, with TCP ports of a domain, until Ctrl-C")
    .argument("<ID>", "the domain's id or name")
    .argument("<PORTS...>", FORWARD_FORMS)
    .addHelpText("after", `\n${forwardRequest.details.join("\n")}`)
    .action((domain: string, texts: string[]) => within((session) => forward(session, domain, texts)));
  return withRequest(command, forwardRequest);
}
