/** CR8 and TPR are one register, kept by the processor; an interrupt that it blocks is delivered when it is lowered. */
import test from "ava";
import { PPR, TPR, machine } from "./apic.ts";
import { Cr8Guest, EXIT_APIC, EXIT_INTERRUPT, PROCESSORS } from "./cr8.ts";

for (const processor of PROCESSORS) {
  const exits = processor === "VT-x without TPR shadow";

  test.serial(`${processor}: CR8 is the upper half of TPR, whoever writes it`, (t) => {
    const guest = new Cr8Guest(processor).enable() as Cr8Guest;
    t.is(guest.intercepted, exits);
    t.is(guest.writeCr8(7), exits ? EXIT_INTERRUPT : 0, "nothing waits");
    t.is(guest.read(TPR), 0x70);
    t.is(guest.read(PPR), 0x70);
    guest.write(TPR, 0x3c);
    t.is(guest.readCr8(), 3);
    t.is(guest.read(TPR), 0x3c);
    guest.writeCr8(3);
    t.is(guest.read(TPR), 0x30, "the lower half is zero after a write of CR8, also of the same value");
    t.is(guest.intercepted, exits);
    guest.writeCr8(9);
    machine.call("apicInit", 0);
    t.is(guest.readCr8(), 0, "INIT");
  });

  test.serial(`${processor}: what CR8 holds back makes an exit when it falls below, and no sooner`, (t) => {
    const guest = new Cr8Guest(processor).enable() as Cr8Guest;
    guest.writeCr8(9);
    guest.post(0x75);
    guest.post(0x52);
    t.is(guest.vector, 0);
    t.is(machine.field("HELD_CLASS"), 7);
    t.true(guest.enterable);
    const above = guest.writeCr8(7);
    if (processor === "VT-x") t.is(above, 0, "the threshold has not been passed");
    t.is(guest.deliverable, 0);
    t.is(guest.writeCr8(6), EXIT_APIC);
    t.is(guest.vector, 0x75);
    t.is(guest.accept(), 0x75);
    t.is(machine.field("HELD_CLASS"), 0, "0x52 waits for the EOI");
    t.is(guest.intercepted, exits);
    t.true(guest.enterable);
    guest.writeCr8(0);
    guest.write(0xb0, 0);
    t.is(guest.vector, 0x52);
  });

  test.serial(`${processor}: CR8 that rises holds back what could be delivered before`, (t) => {
    const guest = new Cr8Guest(processor).enable() as Cr8Guest;
    guest.post(0x75);
    t.is(guest.vector, 0x75);
    guest.writeCr8(7);
    t.is(guest.deliverable, 0);
    t.true(guest.enterable);
    t.is(guest.writeCr8(2), EXIT_APIC);
    t.is(guest.deliverable, 0x75);
  });

  test.serial(`${processor}: two vCPUs have a CR8 each`, (t) => {
    const guest = new Cr8Guest(processor).enable() as Cr8Guest;
    guest.writeCr8(5);
    guest.write(TPR, 0x20, 1);
    t.is(guest.read(TPR), 0x50);
    t.is(guest.read(TPR, 1), 0x20);
    t.is(guest.readCr8(), 5);
  });
}
