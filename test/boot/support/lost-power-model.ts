/** What must be on the disk of a machine that loses its power: volumes, how far logs were flushed, and what a sudden end leaves open. */
import type { Random } from "../../unit/io/block/random.ts";

const UNIT = 4096;
const COPIES_MOST = 6;

/** A call of domain 0's for volumes, as its `Volumes` has it. */
export interface Operation {
  call: "create" | "remove" | "resize" | "snapshot";
  words: (string | number | boolean | null)[];
}

export interface Log {
  name: string;
  /** The last record that is known to be on the disk. */
  flushed: number;
}

/** A snapshot of a log, a volume made from one, or an empty one. */
export interface Copy {
  name: string;
  snapshot: boolean;
  /** The snapshot that it was made from; null: none. */
  from: string | null;
  /** The log whose records are in it; null: it was empty. */
  log: string | null;
  bytes: number;
  /** So much of its beginning was never cut off: the rest is zeroes. */
  kept: number;
  /** Of a snapshot: what its log had flushed by then. */
  flushed: number;
  /** Of what is kept; undefined while nobody has looked. */
  crc?: string;
}

interface Listed {
  name: string | null;
  kind: string;
  size: number;
}

type State = Map<string, Copy>;

const copyOf = (state: State): State => new Map([...state].map(([name, copy]) => [name, { ...copy }]));

/** What an operation makes of the volumes; false when it can only be refused. */
function apply(
  state: State,
  logs: readonly Log[],
  logBytes: number,
  operation: Operation,
  flushed?: Map<string, number>,
): boolean {
  const [name, second] = operation.words as [string, string & number];
  const known = state.get(name);
  switch (operation.call) {
    case "create":
      if (known) return false;
      state.set(name, { name, snapshot: false, from: null, log: null, bytes: second, kept: 0, flushed: 0 });
      return true;
    case "remove":
      if (!known || [...state.values()].some(({ from }) => from === name)) return false;
      return state.delete(name);
    case "resize":
      if (!known || known.snapshot) return false;
      known.bytes = second;
      if (second < known.kept) {
        known.kept = second;
        delete known.crc;
      }
      return true;
    case "snapshot": {
      if (state.has(second)) return false;
      const log = logs.find((each) => each.name === name);
      if (log !== undefined) {
        const so = flushed?.get(name) ?? log.flushed;
        state.set(second, {
          name: second,
          snapshot: true,
          from: null,
          log: name,
          bytes: logBytes,
          kept: logBytes,
          flushed: so,
        });
        return true;
      }
      if (!known?.snapshot) return false;
      state.set(second, { ...known, name: second, snapshot: false, from: name });
      return true;
    }
  }
}

export class Volumes {
  private state: State = new Map();
  private readonly logs: Log[];
  /** Each state that the store may be in. */
  private possible: State[] = [];
  private names = 0;

  constructor(
    private readonly random: Random,
    logs: readonly string[],
    private readonly logBytes: number,
  ) {
    this.logs = logs.map((name) => ({ name, flushed: 0 }));
  }

  log(name: string): Log {
    return this.logs.find((log) => log.name === name)!;
  }

  /** All but the logs. */
  copies(): IterableIterator<Copy> {
    return this.state.values();
  }

  /** Operations for the next life, each possible when those before it were done. */
  draw(count: number): Operation[] {
    const { random } = this;
    const state = copyOf(this.state);
    const operations: Operation[] = [];
    const size = () => UNIT * (1 + random.below(this.logBytes / UNIT + 100));
    while (operations.length < count) {
      const all = [...state.values()];
      const volumes = all.filter(({ snapshot }) => !snapshot);
      const snapshots = all.filter(({ snapshot }) => snapshot);
      const room = all.length < COPIES_MOST;
      const name = `v${this.names}`;
      let operation: Operation | null = null;
      const what = random.below(10);
      if (what < 1 && room) operation = { call: "create", words: [name, size(), null, false] };
      else if (what < 4 && room) operation = { call: "snapshot", words: [random.pick(this.logs).name, name] };
      else if (what < 6 && room && snapshots.length > 0)
        operation = { call: "snapshot", words: [random.pick(snapshots).name, name] };
      else if (what < 8 && volumes.length > 0)
        operation = { call: "resize", words: [random.pick(volumes).name, size()] };
      else if (what < 10 && all.length > 1) operation = { call: "remove", words: [random.pick(all).name] };
      if (operation === null || !apply(state, this.logs, this.logBytes, operation)) continue;
      if (state.has(name)) this.names++;
      operations.push(operation);
    }
    return operations;
  }

  /** Takes in what a life has said, up to its end: flushes, operations that were answered, and what may have been done beside them. */
  said(
    operations: readonly Operation[],
    text: string,
  ): { did: number; refused: number; uncertain: number; flushes: number } {
    const counts = { did: 0, refused: 0, uncertain: 0, flushes: 0 };
    const flushed = new Map(this.logs.map((log) => [log.name, log.flushed]));
    let begun = -1;
    /** What each log had flushed when the operation began: its snapshot has at least that. */
    let then = new Map(flushed);
    let answered = -1;
    // A line that is not ended may have been cut off.
    for (const line of text.split("\n").slice(0, -1)) {
      const flush = /(log\d) blktest flushed (\d+), waited/.exec(line);
      const begins = /begins (\d+)$/.exec(line);
      const did = /did (\d+)$/.exec(line);
      const refused = /refused (\d+) (.*)/.exec(line);
      if (flush !== null) {
        flushed.set(flush[1]!, Number(flush[2]));
        counts.flushes++;
      } else if (begins !== null) {
        begun = Number(begins[1]);
        then = new Map(flushed);
      } else if (did !== null) {
        answered = Number(did[1]);
        const operation = operations[answered]!;
        if (!apply(this.state, this.logs, this.logBytes, operation, then))
          throw new Error(`${JSON.stringify(operation)} was done, which is not possible`);
        counts.did++;
      } else if (refused !== null) {
        answered = Number(refused[1]);
        // While something is being shortened it is busy; what was to be made by one that was refused is not there.
        if (!/busy|being deleted or changed|in use|there is no volume|made from/.test(refused[2]!))
          throw new Error(line);
        counts.refused++;
      }
      // A guest that fails says so.
      if (/log\d .*(FAIL|waiting for)/.test(line)) throw new Error(line);
    }
    for (const log of this.logs) log.flushed = flushed.get(log.name)!;
    // Of what domain 0 says, the latest may not have got out: each operation further may have been done.
    this.possible = [copyOf(this.state)];
    const next = copyOf(this.state);
    for (let i = answered + 1; i < operations.length; i++) {
      if (!apply(next, this.logs, this.logBytes, operations[i]!, i === begun ? then : flushed)) continue;
      this.possible.push(copyOf(next));
    }
    if (begun > answered) counts.uncertain++;
    return counts;
  }

  /** Compares with what there is; of what is possible that is it from here on. @throws Error when nothing possible is like it */
  found(listed: readonly Listed[]): void {
    const there = listed
      .filter(({ name }) => name !== null)
      .map(({ name, kind, size }) => `${name} ${kind === "snapshot" ? kind : "volume"} ${size}`)
      .sort();
    const wanted = (state: State) =>
      [
        ...this.logs.map(({ name }) => `${name} volume ${this.logBytes}`),
        ...[...state.values()].map(
          ({ name, snapshot, bytes }) => `${name} ${snapshot ? "snapshot" : "volume"} ${bytes}`,
        ),
      ].sort();
    const all = this.possible.length > 0 ? this.possible : [this.state];
    const match = all.find((state) => String(wanted(state)) === String(there));
    if (match === undefined) {
      throw new Error(
        `there are ${there.join(", ")}; there may be ${all.map((state) => wanted(state).join(", ")).join(" | or ")}`,
      );
    }
    this.state = match;
  }

  /** What was found is certain. */
  checked(): void {
    this.possible = [];
  }
}
