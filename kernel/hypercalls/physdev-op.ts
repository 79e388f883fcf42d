/**
 * The physical-device hypercall (xen/physdev.h): interrupts of devices for the I/O domain. A PVH guest has no physical interrupts
 * and no I/O privileges, so Xen refuses all of it with -ENOSYS; domain 0 does not access devices here either.
 */
import { EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM } from "../../abi/errno";
import {
  MAP_PIRQ_TYPE_GSI,
  MAP_PIRQ_TYPE_MSI,
  MAP_PIRQ_TYPE_MSI_SEG,
  PhysdevEoi,
  PhysdevIrqStatusQuery,
  PhysdevMapPirq,
  PHYSDEVOP_eoi,
  PHYSDEVOP_irq_status_query,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_unmap_pirq,
  PhysdevUnmapPirq,
  XENIRQSTAT_needs_eoi,
} from "../../abi/physdev";
import { DOMID_SELF } from "../../abi/xen";
import { MSI_PLAIN } from "../devices/msi";
import { pirqEoi, pirqMapLine, pirqMapMessage, pirqNeedsEoi, pirqUnmap } from "../devices/pirq";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Domain } from "../records/domain";
import { drivesDevices } from "../records/software-domain";
import { Vcpu } from "../records/vcpu";

/** PHYSDEVOP_*: 0 or negative errno. */
export function physdevOp(v: Vcpu, cmd: u64, arg: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  if (!drivesDevices(v.domain)) return -ENOSYS;
  const at = scratch(v);
  const d = v.domain;
  switch (<u32>cmd) {
    case PHYSDEVOP_map_pirq: {
      if (!copyFromGuest(v, at, arg, PhysdevMapPirq.SIZE)) return -EFAULT;
      const pirq = mapPirq(d, at);
      if (pirq < 0) return pirq;
      store<i32>(at, pirq, PhysdevMapPirq.pirq);
      if (copyToGuest(v, arg, at, PhysdevMapPirq.SIZE)) return 0;
      pirqUnmap(d, pirq);
      return -EFAULT;
    }
    case PHYSDEVOP_unmap_pirq:
      if (!copyFromGuest(v, at, arg, PhysdevUnmapPirq.SIZE)) return -EFAULT;
      if (!isSelf(d, load<u16>(at, PhysdevUnmapPirq.domid))) return -EPERM;
      return pirqUnmap(d, load<u32>(at, PhysdevUnmapPirq.pirq));
    case PHYSDEVOP_eoi:
      if (!copyFromGuest(v, at, arg, PhysdevEoi.SIZE)) return -EFAULT;
      return pirqEoi(d, load<u32>(at, PhysdevEoi.irq));
    case PHYSDEVOP_irq_status_query: {
      if (!copyFromGuest(v, at, arg, PhysdevIrqStatusQuery.SIZE)) return -EFAULT;
      const needs = pirqNeedsEoi(d, load<u32>(at, PhysdevIrqStatusQuery.irq));
      if (needs < 0) return needs;
      store<u32>(at, needs ? XENIRQSTAT_needs_eoi : 0, PhysdevIrqStatusQuery.flags);
      return copyToGuest(v, arg, at, PhysdevIrqStatusQuery.SIZE) ? 0 : -EFAULT;
    }
    default:
      return -ENOSYS;
  }
}

function isSelf(d: Domain, id: u32): bool {
  return id == DOMID_SELF || id == d.id;
}

/**
 * The pirq of a line (index: its GSI) or of a message, or negative errno. A message's pirq is chosen here, a line's is its GSI:
 * another wish is -EINVAL. Segments other than 0 do not exist.
 */
function mapPirq(d: Domain, at: usize): i32 {
  if (!isSelf(d, load<u16>(at, PhysdevMapPirq.domid))) return -EPERM;
  const wanted = load<i32>(at, PhysdevMapPirq.pirq);
  const type = load<u32>(at, PhysdevMapPirq.type);
  if (type == MAP_PIRQ_TYPE_GSI) {
    const gsi = load<i32>(at, PhysdevMapPirq.index);
    return wanted >= 0 && wanted != gsi ? -EINVAL : pirqMapLine(d, gsi);
  }
  if (type != MAP_PIRQ_TYPE_MSI && type != MAP_PIRQ_TYPE_MSI_SEG) return -EOPNOTSUPP;
  const bus = load<u32>(at, PhysdevMapPirq.bus);
  const devfn = load<u32>(at, PhysdevMapPirq.devfn);
  if (wanted >= 0 || bus > 0xff || devfn > 0xff) return -EINVAL;
  // As on Xen, the address of an MSI-X table tells the kinds apart.
  const entry = load<u64>(at, PhysdevMapPirq.table_base) ? load<u32>(at, PhysdevMapPirq.entry_nr) : MSI_PLAIN;
  return pirqMapMessage(d, (bus << 8) | devfn, entry);
}
