/**
 * Input from the machine's serial console: VIRQ_CONSOLE announces it, CONSOLEIO_read reads it. Input that cannot be accepted yet
 * stays in the hypervisor, which makes the sender wait.
 */
import { VIRQ_CONSOLE } from "../../../abi/xen.ts";
import { onVirq } from "../events.ts";
import { memory } from "../host.ts";
import { consoleRead } from "../hypercalls/console-io.ts";
import { reserveScratch } from "../scratch.ts";

const PIECE = 512;
const buffer = reserveScratch(PIECE);

/** Destination of input. */
export interface InputSink {
  /** How many bytes it has room for now. */
  room(): number;
  /** Takes as many bytes as it has room for, or fewer. */
  input(bytes: Uint8Array): void;
}

let sink: InputSink | null = null;
let reading = false;

/** Reads available input as far as there is room; also called when there is room again. */
export function readInput(): void {
  // A sink that makes room while it receives input is served by the loop already running.
  if (sink === null || reading) return;
  reading = true;
  try {
    for (;;) {
      const room = Math.min(PIECE, sink.room());
      const got = room === 0 ? 0 : consoleRead(buffer.address, room);
      if (got === 0) return;
      sink.input(memory.read(buffer.address, got));
    }
  } finally {
    reading = false;
  }
}

/** Delivers input to `to` from now on, beginning with input typed before there was a sink. */
export function openInput(to: InputSink): void {
  sink = to;
  onVirq(VIRQ_CONSOLE, readInput);
  readInput();
}
