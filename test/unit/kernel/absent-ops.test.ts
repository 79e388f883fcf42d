/** Unimplemented hypercalls: each of Xen's checks, in its order. */
import test from "ava";
import { E2BIG, EACCES, EFAULT, EINVAL, ENODATA, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../../abi/errno.ts";
import { Domctl, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMCTL_shadow_op } from "../../../abi/domctl.ts";
import { PlatformOp, XENPF_INTERFACE_VERSION } from "../../../abi/platform.ts";
import { DOMID_SELF } from "../../../abi/xen.ts";
import { hypercall } from "../../sim/call.ts";
import { Lab, put } from "./lab.ts";

const ABSENT = 0x3f00000;
const AT = 0x9000;
const NOBODY = 999;
const PLATFORM = 7;
const MMUEXT = 26;
const XENPMU = 40;
const DM = 41;
const HYPFS = 42;
const PAGING_DOMCTL_CONT = 49;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

test.serial("a guest's calls are refused check by check", (t) => {
  lab.run(t, function* (cpu, ids) {
    const own = ids[0]!;
    t.is(yield* hypercall(cpu, PLATFORM, ABSENT), -EFAULT);
    put(cpu.view(AT, PlatformOp.SIZE), PlatformOp, { interface_version: 1 });
    t.is(yield* hypercall(cpu, PLATFORM, AT), -EACCES);
    put(cpu.view(AT, PlatformOp.SIZE), PlatformOp, { interface_version: XENPF_INTERFACE_VERSION });
    t.is(yield* hypercall(cpu, PLATFORM, AT), -EPERM);

    t.is(yield* hypercall(cpu, MMUEXT, AT, 1, 0, DOMID_SELF), -EINVAL, "no PV domain");
    t.is(yield* hypercall(cpu, MMUEXT, AT, 1, 0, own), -ESRCH, "its own id does not name it");
    t.is(yield* hypercall(cpu, MMUEXT, AT, 1, 0, NOBODY), -ESRCH);
    t.is(yield* hypercall(cpu, MMUEXT, AT, 1, 0, 0), -EPERM);

    t.is(yield* hypercall(cpu, XENPMU, 0, AT), -EOPNOTSUPP);
    t.is(yield* hypercall(cpu, HYPFS, 0), -EPERM);

    t.is(yield* hypercall(cpu, DM, 0, 0, AT), -ENODATA);
    t.is(yield* hypercall(cpu, DM, 0, 3, AT), -E2BIG);
    t.is(yield* hypercall(cpu, DM, 0, 1, ABSENT), -EFAULT);
    t.is(yield* hypercall(cpu, DM, NOBODY, 1, AT), -ESRCH);
    t.is(yield* hypercall(cpu, DM, own, 1, AT), -EPERM);
    t.is(yield* hypercall(cpu, DM, 0, 2, AT), -EINVAL);

    t.is(yield* hypercall(cpu, PAGING_DOMCTL_CONT, ABSENT), -EFAULT);
    put(cpu.view(AT, Domctl.SIZE), Domctl, { interface_version: 1 });
    t.is(yield* hypercall(cpu, PAGING_DOMCTL_CONT, AT), -EOPNOTSUPP);
    const values = { cmd: XEN_DOMCTL_shadow_op, interface_version: XEN_DOMCTL_INTERFACE_VERSION };
    put(cpu.view(AT, Domctl.SIZE), Domctl, { ...values, domain: NOBODY });
    t.is(yield* hypercall(cpu, PAGING_DOMCTL_CONT, AT), -ESRCH);
    put(cpu.view(AT, Domctl.SIZE), Domctl, { ...values, domain: own });
    t.is(yield* hypercall(cpu, PAGING_DOMCTL_CONT, AT), -EPERM);
    for (const number of [43, 48, 50, 63]) t.is(yield* hypercall(cpu, number, AT), -ENOSYS);
  });
});

test.serial("so are another guest's device model and page tables", (t) => {
  lab.run(
    t,
    function* (cpu, ids, signals) {
      t.is(yield* hypercall(cpu, DM, ids[1]!, 1, AT), -EPERM);
      t.is(yield* hypercall(cpu, MMUEXT, AT, 1, 0, ids[1]!), -EINVAL);
      signals.add("done");
    },
    function* () {},
  );
});
