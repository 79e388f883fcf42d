/**
 * A guest's local APIC against a model that is two sets of vectors, a task priority and a switch: what any sequence of
 * messages, deliveries, EOIs and writes of TPR and CR8 makes deliverable, on every kind of processor.
 */
import test from "ava";
import fc from "fast-check";
import { EOI, IRR, ISR, PPR, SVR, TPR } from "../unit/arch-x86/apic.ts";
import { Cr8Guest, PROCESSORS } from "../unit/arch-x86/cr8.ts";

class Model {
  readonly irr = new Set<number>();
  readonly isr = new Set<number>();
  tpr = 0;
  on = true;

  get ppr(): number {
    const service = Math.max(0, ...this.isr) & 0xf0;
    return (this.tpr & 0xf0) >= service ? this.tpr : service;
  }
  get deliverable(): number {
    const highest = this.on ? Math.max(0, ...this.irr) : 0;
    return (highest & 0xf0) > (this.ppr & 0xf0) ? highest : 0;
  }
}

type Operation =
  | { kind: "post"; vector: number }
  | { kind: "deliver" | "eoi" }
  | { kind: "tpr"; value: number }
  | { kind: "cr8"; value: number }
  | { kind: "switch"; on: boolean };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 16, max: 255 }).map((vector): Operation => ({ kind: "post", vector })) },
  { weight: 2, arbitrary: fc.constant<Operation>({ kind: "deliver" }) },
  { weight: 2, arbitrary: fc.constant<Operation>({ kind: "eoi" }) },
  { weight: 1, arbitrary: fc.nat(255).map((value): Operation => ({ kind: "tpr", value })) },
  { weight: 4, arbitrary: fc.nat(15).map((value): Operation => ({ kind: "cr8", value })) },
  { weight: 1, arbitrary: fc.boolean().map((on): Operation => ({ kind: "switch", on })) },
);

function apply(guest: Cr8Guest, model: Model, op: Operation): void {
  switch (op.kind) {
    case "post":
      guest.post(op.vector);
      if (model.on) model.irr.add(op.vector);
      return;
    case "deliver": {
      if (guest.deliverable === 0) return;
      const vector = guest.accept();
      model.irr.delete(vector);
      model.isr.add(vector);
      return;
    }
    case "eoi":
      guest.write(EOI, 0);
      model.isr.delete(Math.max(0, ...model.isr));
      return;
    case "tpr":
      guest.write(TPR, op.value);
      model.tpr = op.value;
      return;
    case "cr8":
      guest.writeCr8(op.value);
      model.tpr = op.value << 4;
      return;
    case "switch":
      guest.write(SVR, op.on ? 0x1ff : 0xff);
      model.on = op.on;
  }
}

const sorted = (set: Set<number>) => [...set].sort((a, b) => a - b);

for (const processor of PROCESSORS) {
  test.serial(`a local APIC does what its model does: ${processor}`, (t) => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const guest = new Cr8Guest(processor).enable() as Cr8Guest;
        const model = new Model();
        for (const op of operations) {
          apply(guest, model, op);
          // Nobody would ask before an exit: what has become deliverable is known without asking.
          if (model.deliverable !== 0 && guest.vector !== model.deliverable) return false;
          if (guest.deliverable !== model.deliverable || !guest.enterable) return false;
          if (guest.readCr8() !== model.tpr >> 4 || guest.read(TPR) !== model.tpr) return false;
          if (guest.read(PPR) !== model.ppr) return false;
        }
        t.deepEqual(guest.bits(IRR), sorted(model.irr));
        t.deepEqual(guest.bits(ISR), sorted(model.isr));
        return true;
      }),
      { numRuns: 300 },
    );
    t.pass();
  });
}
