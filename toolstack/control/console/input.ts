/** Input from the machine's serial console: VIRQ_CONSOLE tells of it, CONSOLEIO_read takes it. */
import { VIRQ_CONSOLE } from "../../../abi/xen.ts";
import { onVirq } from "../events.ts";
import { memory } from "../host.ts";
import { consoleRead } from "../hypercalls/console-io.ts";
import { reserveScratch } from "../scratch.ts";

const ROOM = 512;
const buffer = reserveScratch(ROOM);

/** Hands every piece of input to `take`, beginning with what was typed before anyone listened. */
export function openInput(take: (bytes: Uint8Array) => void): void {
  const read = () => {
    for (;;) {
      const got = consoleRead(buffer.address, ROOM);
      if (got === 0) return;
      take(memory.read(buffer.address, got));
    }
  };
  onVirq(VIRQ_CONSOLE, read);
  read();
}
