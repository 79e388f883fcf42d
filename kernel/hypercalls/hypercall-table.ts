/**
 * The hypercall table, and the two ways into it: VMCALL/VMMCALL of a hardware guest, the call page of a
 * software-isolated domain. The numbers are __HYPERVISOR_* of xen/xen.h.
 */
import { EPERM } from "../../abi/errno";
import { CallPage } from "../../abi/software";
import * as hw from "../../arch-x86/hw";
import { hypfsOp, noCall, pagingDomctlContinue, platformOp, xenpmuOp } from "./absent-ops";
import { consoleIo } from "./console-io";
import { devctlOrDmOp } from "./devctl";
import { domctl } from "./control/domctl";
import { grantTableOp } from "./grant-table-op";
import { hvmOp } from "./hvm-op";
import { Handler, HYPERCALL_RESTART, hypercallCall, hypercallInstall } from "./hypercall";
import { memoryOp } from "./memory-op";
import { multicall } from "./multicall";
import { mmuextOpOrRefusal, mmuUpdate, updateVaMapping } from "./page-tables";
import { physdevOp } from "./physdev-op";
import { schedOp } from "./sched-op";
import { setTimerOp } from "./set-timer";
import { sysctl } from "./control/sysctl";
import { Vcpu } from "../records/vcpu";
import { vcpuOp } from "./vcpu-op";
import { vmAssist } from "./vm-assist";
import { xenVersion } from "./xen-version";
import { getCpl, getRip, is64, setRip } from "../../arch-x86/state";
import { eventChannelOp } from "./event-channel-op";
import { softwareOf } from "../records/software-domain";

const TABLE: StaticArray<Handler> = [
  noCall, // 0 set_trap_table
  mmuUpdate, // 1 mmu_update
  noCall, // 2 set_gdt
  noCall, // 3 stack_switch
  noCall, // 4 set_callbacks
  noCall, // 5 fpu_taskswitch
  noCall, // 6 sched_op_compat
  platformOp, // 7 platform_op
  noCall, // 8 set_debugreg
  noCall, // 9 get_debugreg
  noCall, // 10 update_descriptor
  noCall, // 11
  memoryOp, // 12 memory_op
  multicall, // 13 multicall
  updateVaMapping, // 14 update_va_mapping
  setTimerOp, // 15 set_timer_op
  noCall, // 16 event_channel_op_compat
  xenVersion, // 17 xen_version
  consoleIo, // 18 console_io
  noCall, // 19 physdev_op_compat
  grantTableOp, // 20 grant_table_op
  vmAssist, // 21 vm_assist
  noCall, // 22 update_va_mapping_otherdomain
  noCall, // 23 iret
  vcpuOp, // 24 vcpu_op
  noCall, // 25 set_segment_base
  mmuextOpOrRefusal, // 26 mmuext_op
  noCall, // 27 xsm_op
  noCall, // 28 nmi_op
  schedOp, // 29 sched_op
  noCall, // 30 callback_op
  noCall, // 31 xenoprof_op
  eventChannelOp, // 32 event_channel_op
  physdevOp, // 33 physdev_op
  hvmOp, // 34 hvm_op
  sysctl, // 35 sysctl
  domctl, // 36 domctl
  noCall, // 37 kexec_op
  noCall, // 38 tmem_op
  noCall, // 39 argo_op
  xenpmuOp, // 40 xenpmu_op
  devctlOrDmOp, // 41 devctl, dm_op
  hypfsOp, // 42 hypfs_op
  noCall, // 43
  noCall, // 44
  noCall, // 45
  noCall, // 46
  noCall, // 47
  noCall, // 48 arch_0: mca
  pagingDomctlContinue, // 49 arch_1: paging_domctl_cont
];

/** Makes the table known to hypercallCall. Once, from `start`. */
export function hypercallStart(): void {
  hypercallInstall(TABLE);
}

/** VMCALL and VMMCALL: three bytes, to be executed once more by a restarted hypercall. */
const CALL_BYTES: u64 = 3;

/** A hardware guest's hypercall; RIP is past the instruction. Only for ring 0, as on Xen. */
export function hypercallHvm(v: Vcpu): void {
  if (getCpl(v)) {
    v.rax = <u64>-EPERM;
    return;
  }
  if (!is64(v)) {
    hypercallHvm32(v);
    return;
  }
  const result = hypercallCall(v, v.rax, v.rdi, v.rsi, v.rdx, v.r10, v.r8, v.r9);
  if (result != HYPERCALL_RESTART) {
    v.rax = result;
    return;
  }
  v.rdi = v.restart1;
  v.rsi = v.restart2;
  v.rdx = v.restart3;
  v.r10 = v.restart4;
  v.r8 = v.restart5;
  v.r9 = v.restart6;
  setRip(v, getRip(v) - CALL_BYTES);
}

const LOW: u64 = 0xffffffff;

function hypercallHvm32(v: Vcpu): void {
  v.hypercallCompat = 1;
  const result = hypercallCall(
    v,
    v.rax & LOW,
    v.rbx & LOW,
    v.rcx & LOW,
    v.rdx & LOW,
    v.rsi & LOW,
    v.rdi & LOW,
    v.rbp & LOW,
  );
  v.hypercallCompat = 0;
  if (result != HYPERCALL_RESTART) {
    v.rax = (<u64>result) & LOW;
    return;
  }
  v.rbx = v.restart1 & LOW;
  v.rcx = v.restart2 & LOW;
  v.rdx = v.restart3 & LOW;
  v.rsi = v.restart4 & LOW;
  v.rdi = v.restart5 & LOW;
  v.rbp = v.restart6 & LOW;
  setRip(v, (getRip(v) - CALL_BYTES) & LOW);
}

/** Executes the hypercall in a software domain's call page and writes its result there, unless it is to be continued. */
export function hypercallSoftware(v: Vcpu): void {
  const page = softwareOf(v.domain).callPagePa;
  const result = hypercallCall(
    v,
    hw.load64(page + CallPage.op),
    hw.load64(page + CallPage.args),
    hw.load64(page + CallPage.args + 8),
    hw.load64(page + CallPage.args + 16),
    hw.load64(page + CallPage.args + 24),
    hw.load64(page + CallPage.args + 32),
    hw.load64(page + CallPage.args + 40),
  );
  finishSoftware(v, result);
}

/** Continues an unfinished hypercall of a software domain. */
export function hypercallSoftwareContinue(v: Vcpu): void {
  v.hypercallPending = 0;
  const result = hypercallCall(
    v,
    v.hypercallOp,
    v.restart1,
    v.restart2,
    v.restart3,
    v.restart4,
    v.restart5,
    v.restart6,
  );
  finishSoftware(v, result);
}

function finishSoftware(v: Vcpu, result: i64): void {
  if (result == HYPERCALL_RESTART) v.hypercallPending = 1;
  else hw.store64(softwareOf(v.domain).callPagePa + CallPage.result, result);
}
