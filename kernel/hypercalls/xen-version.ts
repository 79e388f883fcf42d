/** The version hypercall (xen/version.h): Xen 4.17's interface, and the implementation's own name. */
import { EFAULT, EINVAL, ENODATA, ENOSYS, EPERM } from "../../abi/errno";
import {
  XENFEAT_auto_translated_physmap,
  XENFEAT_dom0,
  XENFEAT_hvm_callback_vector,
  XENFEAT_hvm_safe_pvclock,
  XENFEAT_memory_op_vnode_supported,
  XENFEAT_not_direct_mapped,
  XENFEAT_supervisor_mode_kernel,
  XENFEAT_writable_page_tables,
} from "../../abi/features";
import {
  CompileInfo,
  FeatureInfo,
  PlatformParameters,
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_COMMANDLINE_LEN,
  XEN_EXTRAVERSION_LEN,
  XENVER_build_id,
  XENVER_capabilities,
  XENVER_changeset,
  XENVER_commandline,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
} from "../../abi/version";
import { DomainKind } from "../records/domain";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";

/** The interface is Xen 4.17's; guests may ask for features by this number. */
const XEN_VERSION: i64 = (4 << 16) | 17;
/** HYPERVISOR_VIRT_START of x86-64; translated guests have nothing there. */
const VIRT_START: u64 = 0xffff800000000000;

export const TYPEVISOR_VERSION: string = "0.1.0";

/** Linear address of Typevisor's command line, NUL-terminated. */
let commandLine: usize = 0;

export function xenVersionInit(line: usize): void {
  commandLine = line;
}

/** Writes an ASCII constant at `at`; the area is zeroed. */
function text(at: usize, s: string): void {
  for (let i = 0; i < s.length; i++) store<u8>(at + i, <u8>s.charCodeAt(i));
}

/** XENVER_*: see xen/version.h. Unprivileged callers get "<denied>" and -EPERM where Xen's default policy says so. */
export function xenVersion(v: Vcpu, cmd: u64, arg: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const at = scratch(v);
  let size: u32 = 0;
  switch (<u32>cmd) {
    case XENVER_version:
      return XEN_VERSION;
    case XENVER_pagesize:
      return arg ? -EINVAL : 4096;
    case XENVER_get_features:
      return features(v, arg, at);
    case XENVER_build_id:
      return v.domain.privileged ? -ENODATA : -EPERM;
    case XENVER_extraversion:
      size = XEN_EXTRAVERSION_LEN;
      break;
    case XENVER_compile_info:
      size = CompileInfo.SIZE;
      break;
    case XENVER_capabilities:
      size = XEN_CAPABILITIES_INFO_LEN;
      break;
    case XENVER_changeset:
      size = XEN_CHANGESET_INFO_LEN;
      break;
    case XENVER_platform_parameters:
      size = v.hypercallCompat ? 4 : PlatformParameters.SIZE;
      break;
    case XENVER_guest_handle:
      size = 16;
      break;
    case XENVER_commandline:
      size = v.domain.privileged ? XEN_COMMANDLINE_LEN : 9;
      break;
    default:
      return -ENOSYS;
  }
  memory.fill(at, 0, size);
  describe(v, <u32>cmd, at);
  return copyToGuest(v, arg, at, size) ? 0 : -EFAULT;
}

function describe(v: Vcpu, cmd: u32, at: usize): void {
  if (cmd == XENVER_extraversion) {
    text(at, ".0-typevisor");
  } else if (cmd == XENVER_compile_info) {
    text(at + CompileInfo.compiler, "AssemblyScript, wasm2c, gcc");
    text(at + CompileInfo.compile_by, "typevisor");
    text(at + CompileInfo.compile_domain, TYPEVISOR_VERSION);
  } else if (cmd == XENVER_capabilities) {
    text(at, "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ");
  } else if (cmd == XENVER_changeset) {
    text(at, "Typevisor ");
    text(at + 10, TYPEVISOR_VERSION);
  } else if (cmd == XENVER_platform_parameters) {
    // A 32-bit caller's field has 32 bits; translated guests get 0 there.
    if (!v.hypercallCompat) store<u64>(at + PlatformParameters.virt_start, VIRT_START);
  } else if (cmd == XENVER_guest_handle) {
    store<u64>(at, v.domain.handle0);
    store<u64>(at + 8, v.domain.handle1);
  } else if (v.domain.privileged) {
    for (let i: u32 = 0; i < XEN_COMMANDLINE_LEN - 1; i++) {
      const byte = load<u8>(commandLine + i);
      if (!byte) break;
      store<u8>(at + i, byte);
    }
  } else {
    text(at, "<denied>");
  }
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function bit(feature: u32): u32 {
  return 1 << feature;
}

function features(v: Vcpu, arg: u64, at: usize): i64 {
  if (!copyFromGuest(v, at, arg, FeatureInfo.SIZE)) return -EFAULT;
  if (load<u32>(at + FeatureInfo.submap_idx) != 0) return -EINVAL;
  let map =
    bit(XENFEAT_memory_op_vnode_supported) |
    bit(XENFEAT_writable_page_tables) |
    bit(XENFEAT_auto_translated_physmap) |
    bit(XENFEAT_not_direct_mapped);
  if (v.domain.privileged) map |= bit(XENFEAT_dom0);
  if (v.domain.kind == DomainKind.Hvm) map |= bit(XENFEAT_hvm_safe_pvclock) | bit(XENFEAT_hvm_callback_vector);
  if (v.domain.pvhv1) map |= bit(XENFEAT_supervisor_mode_kernel);
  store<u32>(at + FeatureInfo.submap, map);
  return copyToGuest(v, arg, at, FeatureInfo.SIZE) ? 0 : -EFAULT;
}
