/**
 * Where the self-test's expectation does not hold on real Xen as `npm run test:oracle` runs it, and why. The guest is
 * Xen's domain 0 there. Everything else must hold, and each of these must differ: the oracle checks exactly this set.
 */

const CONTROL_DOMAIN = "a control domain may do this; the test expects an ordinary domain's refusal";

/** Name of the test: reason. */
export const oracleExceptions: Record<string, string | undefined> = {
  "version-not-control-domain": "it is the control domain, so XENFEAT_dom0 is set",
  "version-build-id-refused": CONTROL_DOMAIN,
  "console-read-refused": CONTROL_DOMAIN,
  "sched-pin-override-refused": CONTROL_DOMAIN,
  "memory-claim-refused": CONTROL_DOMAIN,
  "memory-pod-refused": CONTROL_DOMAIN,
  "physmap-foreign-refused": CONTROL_DOMAIN,
  "refused-physdev-hardware": CONTROL_DOMAIN,
  "refused-domctl": CONTROL_DOMAIN,
  "refused-sysctl": CONTROL_DOMAIN,
  "refused-platform": CONTROL_DOMAIN,
  "refused-hypfs": CONTROL_DOMAIN,
  "vcpu-physid": "domain 0's vCPUs count as pinned on a machine with one processor",
  "memory-map-start-info": "Xen's own builder of domain 0 writes version 0 of hvm_start_info, without a memory map",
  "apic-error-cleared": "Xen ignores writes of ESR: what it has noted stays for ever",
  "grant-map-alias":
    "Xen keeps one guest frame number per page: a grant of its own, mapped, takes the page from where it was",
};

const AWAITED_CR8 =
  "Xen lets guests write CR8 while a virtual interrupt waits for its fall: QEMU's TCG takes the interrupt for allowed at once, and aborts at the write";

/** Tests that cannot run there at all, and why: they are left out. */
export const oracleOmissions: Record<string, string | undefined> = {
  "apic-task-priority":
    "Xen awaits a lower task priority with a virtual interrupt, which QEMU's TCG takes for allowed at once: no end of exits",
  "apic-cr8-delivers": AWAITED_CR8,
  "apic-cr8-steps": AWAITED_CR8,
  "apic-cr8-raised": AWAITED_CR8,
  "apic-cr8-halt": AWAITED_CR8,
};
