/** A domain that cannot be made for want of memory, whatever is left when it is begun, leaves no frame and no domain. */
import test from "ava";
import { XEN_DOMCTL_getdomaininfo, Domctl } from "../../../abi/domctl.ts";
import { ENOMEM } from "../../../abi/errno.ts";
import { BuildFailure } from "../../sim/dom0.ts";
import { GUEST_FRAMES, Lab } from "./lab.ts";

/** More frames than a guest of GUEST_FRAMES takes, page tables and all. */
const ENOUGH = 160;
const BATCH = 256;

test("with 0 to 160 free frames: refused with ENOMEM and every frame is back, or made", async (t) => {
  const lab = await Lab.open();
  const { dom0 } = lab;
  const hog = dom0.create();
  t.is(dom0.maxMem(hog, 1 << 20), 0);
  let next = 0;
  for (let given = BATCH; given === BATCH; next += given) {
    given = dom0.populate(
      hog,
      Array.from({ length: BATCH }, (_, i) => next + i),
    );
  }
  let made = 0;
  for (let left = 0; left <= ENOUGH; left++) {
    if (left > 0) t.is(dom0.release(hog, [left - 1]), 1);
    const before = lab.free;
    try {
      lab.destroy(dom0.build(function* () {}, GUEST_FRAMES, 2));
      made++;
    } catch (error) {
      if (!(error instanceof BuildFailure)) throw error;
      if (error.result < 0) t.is(error.result, -ENOMEM, error.message);
      t.is(made, 0, "more memory, and it failed again");
      lab.machine.step(3);
    }
    t.is(lab.free, before, `${left} frames given back`);
    const { view } = dom0.domctl(XEN_DOMCTL_getdomaininfo, hog + 1);
    t.not(view.getUint16(Domctl.domain, true), hog, "no other domain");
  }
  t.true(made > 0);
  lab.audit(t);
  lab.destroy(hog);
  lab.audit(t);
});
