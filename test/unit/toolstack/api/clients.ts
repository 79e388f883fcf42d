/** Clients on Node of the control plane on the fake machine. */
import { setImmediate } from "node:timers/promises";
import { Client } from "../../../../toolstack/cli/connection/client.ts";
import type { Connection } from "../../../../toolstack/control/net/connection.ts";
import type { FakeMachine } from "../fake-machine.ts";
import { machine } from "../fake-session.ts";
import { Pipe } from "./pipe.ts";

interface Server {
  accept(connection: Connection): void;
  readonly count: number;
}
export const serverOf = (m: FakeMachine) => m.globals.control as Server;

/** Lets machine and client run until `done`, or the machine has had so many milliseconds. */
export async function runUntil(m: FakeMachine, done: () => boolean, ms = 20_000): Promise<void> {
  for (let i = 0; i < ms && !done(); i++) {
    await m.pass(1);
    await setImmediate();
  }
  if (!done()) throw new Error("not reached");
}

export async function settled<T>(m: FakeMachine, promise: Promise<T>, ms?: number): Promise<T> {
  let over = false;
  const watched = promise.finally(() => (over = true));
  watched.catch(() => {});
  await runUntil(m, () => over, ms);
  return watched;
}

export async function connect(m: FakeMachine, pipe = new Pipe()): Promise<{ client: Client; pipe: Pipe }> {
  serverOf(m).accept(pipe.connection);
  const { client } = await settled(m, Client.greet(pipe.client, "test", "test"));
  return { client, pipe };
}

export async function booted(): Promise<FakeMachine> {
  const m = machine();
  await m.boot();
  m.takeOutput();
  return m;
}
