/**
 * What making and ending a guest takes must not depend on how many others there are, nor on time: it is counted here, in the two
 * programs that boot, on the simulated machine. And the memory that a guest gets holds nothing, whoever had it before and
 * whether there was time to clean it.
 */
import test, { type ExecutionContext } from "ava";
import { Machine, MachineOff } from "../../sim/machine.ts";
import { hypervisorModule } from "../../sim/module.ts";
import { guestCode, type GuestProgram } from "../../sim/svm-cpu.ts";
import { exec } from "./fake-session.ts";
import { makeElf } from "./make-elf.ts";
import { ControlPlane } from "./on-hypervisor.ts";

const module = hypervisorModule();

/** First and last byte of a small guest's RAM that nothing is loaded into, beyond its kernel and its start information. */
const EMPTY = 0x110000;
const RAM_END = 0x200000;
const SUPER_FRAMES = 512;

interface Ran {
  machine: Machine;
  output: string;
}

/** Runs commands in exec mode to their end. @param program of guests made of the kernel `small` */
async function run(memory: number, script: string, program: GuestProgram): Promise<Ran> {
  const data = makeElf({ segments: [{ address: 0x100000, data: guestCode(0) }] }).bytes;
  const machine = new Machine(await module, {
    memory,
    modules: [{ name: "small", data }],
    commandLine: exec(`js ${script.replace(/\n\s*/g, " ")}`),
    measureStretches: true,
    fill: 0xa5,
  });
  machine.svm.programs.push(program);
  const plane = await ControlPlane.on(machine);
  plane.globals = { effort: () => [plane.hypercalls, machine.uses, machine.zeroed] };
  try {
    machine.runUntil(() => false, "the machine's end", 2_000_000);
  } catch (error) {
    if (!(error instanceof MachineOff)) throw error;
  }
  return { machine, output: machine.output.replaceAll("\r\n", "\n") };
}

function* sleeps(): ReturnType<GuestProgram> {
  for (;;) yield { kind: "spin", ns: 1_000_000 };
}

const HEAD = `
  const kernel = modules.find((m) => m.name === "small");
  const make = () => domains.create({ kernel, commandLine: "", memoryMib: 2, vcpus: 1 });
  const end = (domain) => { domains.destroy(domain); return domains.gone(domain); };
  const nodes = () => domains.store.store.tree.work;
`;

test.serial("the 10th and the 120th guest are made and ended in as many hypercalls and steps", async (t) => {
  const { output } = await run(
    320,
    `(async () => {
      ${HEAD}
      const least = (rounds) => rounds[0].map((_, i) => Math.min(...rounds.map((round) => round[i])));
      const count = async (work) => {
        const before = [...effort(), nodes()];
        const result = await work();
        const after = [...effort(), nodes()];
        return { spent: after.map((n, i) => n - before[i]), result };
      };
      for (const others of [9, 119]) {
        while (domains.all().length < others) { await make(); await sleep(0); }
        await sleep(100);
        const created = [], destroyed = [];
        for (let i = 0; i < 5; i++) {
          await sleep(20);
          const made = await count(make);
          created.push(made.spent);
          await sleep(20);
          destroyed.push((await count(() => end(made.result))).spent);
        }
        print("effort " + others + " " + least(created).join(" ") + " / " + least(destroyed).join(" ") + "\\n");
      }
    })()`,
    sleeps,
  );
  const [few, many] = [...output.matchAll(/^effort \d+ (.*)$/gm)].map(([, figures]) => figures!);
  t.truthy(few, output.slice(-1500));
  t.is(many, few, "hypercalls, uses of the hardware, frames zeroed, nodes of the store: create / destroy");
});

/** Says whether the RAM that nothing was loaded into holds anything, fills it, and goes on. */
function looksAndFills(found: number[]): GuestProgram {
  return function* (cpu) {
    // The simulated processor starts its guests one request late.
    yield { kind: "spin", ns: 1000 };
    let dirty = 0;
    for (let at = EMPTY; at < RAM_END; at += 4096) {
      const page = cpu.view(at, 4096);
      for (let i = 0; i < 4096; i += 4) if (page.getUint32(i, true) !== 0) dirty++;
      for (let i = 0; i < 4096; i += 4) page.setUint32(i, 0xbadc0de, true);
    }
    found.push(dirty);
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  };
}

async function cleaning(
  t: ExecutionContext,
  rest: string,
  memoryMib = 32,
): Promise<{ zeroed: number[]; found: number[] }> {
  const found: number[] = [];
  const { output } = await run(
    memoryMib,
    `(async () => {
      ${HEAD}
      for (let i = 0; i < 12; i++) {
        ${rest}
        const before = effort()[2];
        const domain = await make();
        print("zeroed " + (effort()[2] - before) + "\\n");
        domains.unpause(domain);
        await sleep(3);
        await end(domain);
      }
    })()`,
    looksAndFills(found),
  );
  const zeroed = [...output.matchAll(/^zeroed (\d+)$/gm)].map(([, count]) => Number(count));
  t.is(zeroed.length, 12, output.slice(-1500));
  t.is(found.length, 12);
  return { zeroed, found };
}

test.serial("a guest's memory is cleaned while the processor is idle, and holds nothing", async (t) => {
  const { zeroed, found } = await cleaning(t, "await sleep(200);");
  t.deepEqual(new Set(found), new Set([0]));
  t.true(
    zeroed.every((count) => count < SUPER_FRAMES / 4),
    `frames zeroed within each create: ${zeroed.join(" ")}`,
  );
});

test.serial("a guest gets clean memory also when more is dirty than is cleaned ahead of time", async (t) => {
  const { zeroed, found } = await cleaning(
    t,
    `if (i === 0) {
      while (domains.all().length < 80) { await make(); await sleep(0); }
      await sleep(200);
      for (const one of domains.all()) await end(one);
    }
    await sleep(200);`,
    512,
  );
  t.deepEqual(new Set(found), new Set([0]));
  t.true(
    zeroed.every((count) => count < SUPER_FRAMES / 4),
    `frames zeroed within each create: ${zeroed.join(" ")}`,
  );
});

test.serial("memory that there was no time to clean is given at once, and holds nothing", async (t) => {
  const { zeroed, found } = await cleaning(
    t,
    "while (domains.all().length < 10) await make(); for (const one of domains.all()) await end(one);",
  );
  t.deepEqual(new Set(found), new Set([0]));
  t.true(
    zeroed.some((count) => count >= SUPER_FRAMES),
    `frames zeroed within each create: ${zeroed.join(" ")}`,
  );
});
