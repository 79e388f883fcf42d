/** Xen's Linux domain 0 in the benchmarks: what is asked of it, and what is read from what it prints. */
import test from "ava";
import { frameCost } from "../../../scripts/bench/network.ts";
import { xlConfig } from "../../../scripts/bench/xen-dom0/archive.ts";
import { saidBy } from "../../../scripts/bench/xen-dom0/guests.ts";
import { domain0Init, FIGURE } from "../../../scripts/bench/xen-dom0/init.ts";
import { parseFigures, ROUNDS, SCRIPT } from "../../../scripts/bench/xen-dom0/toolstack.ts";

/** What domain 0 prints, with a line of Linux's between. */
function printed(change: (lines: string[]) => string[] = (lines) => lines): string[] {
  const rounds = Array.from({ length: ROUNDS }, (_, i) => {
    // The first round is the dearest.
    const more = i === 0 ? 900 : i;
    return [`empty ${10}`, `create-small ${1000 + more}`, `destroy-small ${500 + more}`];
  }).flat();
  const figures = [...rounds, "create-linux 20010", "linux-shell 90010"];
  return change([...figures.map((figure) => `${FIGURE} ${figure}`), "[    7.4] reboot: Restarting system"]);
}

test("figures of Xen's toolstack: the clock's own cost is taken off, the first round does not count", (t) => {
  t.deepEqual(parseFigures(printed()), {
    createSmall: 992,
    destroySmall: 492,
    createLinux: 20000,
    linuxShell: 90000,
  });
});

test("a figure that is missing is named, with what domain 0 said", (t) => {
  const lines = printed((all) => all.map((line) => line.replace(`${FIGURE} linux-shell 90010`, "Parsing failed")));
  const error = t.throws(() => parseFigures(lines));
  t.regex(error!.message, /no figure linux-shell.*Parsing failed/s);
  // One round less than there should be.
  const fewer = printed((all) => all.filter((_, i) => i !== all.findIndex((other) => other.includes("empty"))));
  t.throws(() => parseFigures(fewer), { message: /no figure empty/ });
});

test("domain 0 prints every figure that is read, and waits for the prompt of the guest's shell", (t) => {
  const init = domain0Init(SCRIPT);
  for (const name of ["empty", "create-small", "destroy-small", "create-linux", "linux-shell"]) {
    t.true(init.includes(`figure ${name} `), name);
  }
  t.true(init.includes("/linux:\\/root$/"));
});

test("a configuration for xl has strings in quotes and numbers without", (t) => {
  t.is(xlConfig({ name: "linux", memory: 256 }), 'name = "linux"\nmemory = 256\n');
  t.is(xlConfig({ vif: ["mac=1", "mac=2"], disk: [] }), 'vif = ["mac=1", "mac=2"]\ndisk = []\n');
});

test("what guests of domain 0 have said is told apart by their runs; a frame's cost is without idle time", (t) => {
  const lines = [
    "XEN-GUEST: small nettest send 100 frames 151400 bytes 7000 ticks 2000 idle",
    "XEN-GUEST: small nettest arrived 110 of 110 frames",
    "XEN-GUEST: small TYPEVISOR-GUEST: PASS nettest",
    "XEN-GUEST: smaller nettest send 100 frames 151400 bytes 9000 ticks 0 idle",
    "XEN-GUEST: smaller nettest arrived 0 of 110 frames",
    'XEN-GUEST: card [{"name":"xenbr0","framesOut":5},{"name":"xenbr1","framesOut":7}]',
    "XEN-GUEST: card nettest send 100 frames 151400 bytes 9000 ticks 0 idle",
    'XEN-GUEST: card [{"name":"xenbr0","framesOut":115},{"name":"xenbr1","framesOut":106}]',
    "XEN-GUEST: lossy nettest send 100 frames 151400 bytes 9000 ticks 0 idle",
    "XEN-GUEST: lossy nettest arrived 55 of 110 frames",
  ];
  const cost = (name: string, to: "guest" | "virtio" | "e1000e") => frameCost({ name, to }, saidBy(lines, name));
  t.is(saidBy(lines, "small").length, 3);
  t.is(cost("small", "guest"), 50);
  t.is(cost("card", "virtio"), 90);
  t.throws(() => cost("card", "e1000e"), { message: /card: 99 of 100 frames have left/ });
  t.throws(() => cost("smaller", "virtio"), { message: /smaller: 0 of 100 frames have left/ }, "nothing was counted");
  t.is(cost("lossy", "guest"), 180, "per frame that arrived");
  t.throws(() => cost("smaller", "guest"), { message: /smaller: no frame has arrived/ });
  t.throws(() => cost("large", "guest"), { message: /large: the sender gave no figure/ });
});
