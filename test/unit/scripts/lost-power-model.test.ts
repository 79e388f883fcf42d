/** The model of the boot test that takes a machine's power away: what it allows, and what it does not. */
import test from "ava";
import { Volumes, type Operation } from "../../boot/support/lost-power-model.ts";
import { Random } from "../io/block/random.ts";

const MIB = 1 << 20;
const LOGS = [
  { name: "log0", kind: "volume", size: 2 * MIB },
  { name: "log1", kind: "volume", size: 2 * MIB },
];

function model(): Volumes {
  return new Volumes(
    new Random(1),
    LOGS.map(({ name }) => name),
    2 * MIB,
  );
}

const SNAPSHOT: Operation = { call: "snapshot", words: ["log0", "s"] };
const CLONE: Operation = { call: "snapshot", words: ["s", "c"] };
const SHORTER: Operation = { call: "resize", words: ["c", MIB] };
const LONGER: Operation = { call: "resize", words: ["c", 3 * MIB] };

test("a snapshot has what its log had flushed when it began, a copy what was never cut off", (t) => {
  const volumes = model();
  const counts = volumes.said(
    [SNAPSHOT, CLONE, SHORTER, LONGER],
    "log0 blktest flushed 8, waited 1 us\nbegins 0\nlog0 blktest flushed 16, waited 1 us\ndid 0\nbegins 1\ndid 1\n" +
      "begins 2\ndid 2\nbegins 3\ndid 3\nlog1 blktest flushed 24, waited 1 us\nlog1 blktest flushed 32, wai",
  );
  t.deepEqual(counts, { did: 4, refused: 0, uncertain: 0, flushes: 3 });
  t.is(volumes.log("log0").flushed, 16);
  t.is(volumes.log("log1").flushed, 24, "a line that was cut off says nothing");
  const copies = [...volumes.copies()];
  t.like(copies[0], { name: "s", snapshot: true, bytes: 2 * MIB, kept: 2 * MIB, flushed: 8 });
  t.like(copies[1], { name: "c", snapshot: false, from: "s", bytes: 3 * MIB, kept: MIB });
});

test("what was answered must be there, what was not may be; anything else is a fault", (t) => {
  const operations = [SNAPSHOT, CLONE, SHORTER];
  const s = { name: "s", kind: "snapshot", size: 2 * MIB };
  const c = { name: "c", kind: "volume", size: 2 * MIB };
  const after = () => {
    const volumes = model();
    volumes.said(operations, "begins 0\ndid 0\nbegins 1\n");
    return volumes;
  };
  for (const [there, copies] of [
    [[s], 1],
    [[s, c], 2],
    [[s, { ...c, size: MIB, kind: "shrinking" }], 2],
  ] as const) {
    const volumes = after();
    volumes.found([...LOGS, ...there]);
    t.is([...volumes.copies()].length, copies);
    // From here on it is certain.
    volumes.checked();
    volumes.found([...LOGS, ...there, { name: null, kind: "deleted", size: MIB }]);
    t.throws(() => volumes.found(LOGS), { message: /there may be/ });
  }
  for (const there of [[], [c], [s, { ...c, size: 3 * MIB }], [{ ...s, kind: "volume" }], [s, { ...c, name: "d" }]]) {
    t.throws(() => after().found([...LOGS, ...there]), { message: /there may be/ });
  }
  t.throws(() => after().found([s]), { message: /there may be/ }, "a log is gone");
});

test("a guest that fails, and a refusal that has no reason, are faults", (t) => {
  t.throws(() => model().said([], "log0 TYPEVISOR-GUEST: FAIL blktest flush: status -1\n"), { message: /FAIL/ });
  t.throws(() => model().said([SNAPSHOT], "begins 0\nrefused 0 the disk has failed\n"), { message: /failed/ });
  t.throws(() => model().said([CLONE], "begins 0\ndid 0\n"), { message: /not possible/ });
  const counts = model().said([SNAPSHOT], "begins 0\nrefused 0 log0 is being deleted or changed; try it again\n");
  t.deepEqual(counts, { did: 0, refused: 1, uncertain: 0, flushes: 0 });
});

test("operations are drawn so that each is possible when those before it were done", (t) => {
  const volumes = model();
  const operations = volumes.draw(200);
  const text = operations.map((_, i) => `begins ${i}\ndid ${i}\n`).join("");
  t.is(volumes.said(operations, text).did, 200);
});
