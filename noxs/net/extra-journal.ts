/**
 * Ids of the receive requests whose slots the present batch fills with extra info, in stable memory. An extra info overwrites the
 * whole slot, id and all; after a restart in the middle of that, the request must still be answered with its id
 * (rings-restart.ts).
 */
import { stableRegion } from "../../drivers/host/stable";
import { write32 } from "../../drivers/host/host";
import { Queue } from "./records";

/** Two for each delivery of a batch. */
const ENTRIES: u32 = 512;
const ENTRY_BYTES: u32 = 12;
const ENTRIES_AT: usize = 16;

let journal: usize = 0;

/** Before anything else here; false without memory. */
export function journalInit(): bool {
  journal = stableRegion(0x4e4a4e4c, <u32>ENTRIES_AT + ENTRIES * ENTRY_BYTES); // "NJNL"
  return journal != 0;
}

/** Begins a batch: the responses of the last one are published. */
export function journalBegin(): void {
  write32(journal, 0);
}

function queueKey(vif: u32, queue: u32): u32 {
  return (vif << 8) | queue;
}

/** Notes the id of the request at `index` of a queue's receive ring; false when there is no room for it. */
export function journalAdd(q: Queue, index: u32, id: u32): bool {
  const count = load<u32>(journal);
  if (count == ENTRIES) return false;
  const entry = journal + ENTRIES_AT + <usize>count * ENTRY_BYTES;
  write32(entry, queueKey(q.vif.index, q.index));
  write32(entry + 4, index);
  write32(entry + 8, id);
  write32(journal, count + 1);
  return true;
}

/** The id of a request that was noted; 0xffffffff: it was not. */
export function journalFind(q: Queue, index: u32): u32 {
  const count = min(load<u32>(journal), ENTRIES);
  const key = queueKey(q.vif.index, q.index);
  for (let i: u32 = 0; i < count; i++) {
    const entry = journal + ENTRIES_AT + <usize>i * ENTRY_BYTES;
    if (load<u32>(entry) == key && load<u32>(entry, 4) == index) return load<u32>(entry, 8);
  }
  return 0xffffffff;
}
