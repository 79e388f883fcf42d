/**
 * Work of the event loop in pieces. Long work, and work on behalf of guests, is done in tasks: a turn runs a piece of each
 * queued task, round robin, until its time is used up; the rest continues in the next turn.
 * So no guest or command can starve others, or keep domain 0 from refreshing its watchdog.
 */
import { systemTime } from "./clock.ts";
import { reportFailure } from "./failures.ts";
import { after, sleep } from "./timers.ts";

/** A turn that has lasted this long starts no further piece. */
const TURN_NS = 2e6;
/** Pieces of one turn, at most, whatever the clock says. */
export const TURN_PIECES = 64;

/** Tasks that wait, in the order in which they get their pieces, from `first` on. */
let waiting: Task[] = [];
let first = 0;
/** What waits will be run without being asked for. */
let arranged = false;
/** When the present turn began, system time in ns, and the pieces it has done. */
let began = 0;
let pieces = 0;

/** One sort of work that is done in pieces. */
export class Task {
  private queued = false;

  /**
   * @param what names it where a failure is reported
   * @param piece does a part of the work, a millisecond's at most; returns whether there is more
   */
  constructor(
    private readonly what: string,
    private readonly piece: () => boolean,
  ) {}

  /** True while it is queued. */
  get waits(): boolean {
    return this.queued;
  }

  /** There is something to do: it is done in this turn or in one soon. */
  request(): void {
    if (this.queued) return;
    this.queued = true;
    waiting.push(this);
    arrange();
  }

  /** Runs a piece; queues the task again if there is more. */
  run(): void {
    this.queued = false;
    try {
      if (this.piece()) this.request();
    } catch (error) {
      reportFailure(this.what, error);
    }
  }
}

/** Makes sure that there is a turn that runs what waits. */
function arrange(): void {
  if (arranged) return;
  arranged = true;
  after(0, () => {});
}

/** A turn begins at system time `now`; its tasks run in `runTasks`, at its end. */
export function beginTurn(now: number): void {
  began = now;
  pieces = 0;
  arranged = true;
}

/** Counts a piece of the present turn; true when the turn has lasted long enough. */
export function turnIsOver(): boolean {
  pieces++;
  return pieces >= TURN_PIECES || systemTime() - began >= TURN_NS;
}

/** Runs pieces of what waits, as many as fit into the turn. */
export function runTasks(): void {
  while (first < waiting.length) {
    waiting[first++]!.run();
    if (first < waiting.length && turnIsOver()) break;
  }
  waiting = waiting.slice(first);
  first = 0;
  arranged = false;
  if (waiting.length > 0) arrange();
}

/** To be awaited between two parts of a long command: goes on at once, or in a later turn when this one was long enough. */
export function giveWay(): Promise<void> {
  return turnIsOver() ? sleep(0) : Promise.resolve();
}
