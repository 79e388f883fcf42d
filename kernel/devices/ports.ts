/**
 * Ports: what the I/O domain may access. Everything else reads as all ones and ignores writes: the hypervisor's own ports (serial
 * port, interrupt controllers, timers, real-time clock, power management, reset control, debug exit) are among that.
 *
 *   0xCF8, 0xCFC..0xCFF   configuration space: reads of everything, writes as below
 *   0x1F0..0x1F7, 0x3F6, 0x170..0x177, 0x376   ATA at its legacy addresses
 *   ports of the base addresses of functions it uses (functions.ts)
 *
 * Configuration space can be written where a driver must, and nowhere else: the command and status registers, the base addresses
 * for their sizes, cache line size, latency timer and interrupt line; the power state D0; PCI Express' device control without a
 * reset of the function, which would lose its base addresses. Messages (MSI, MSI-X) are programmed by the hypervisor.
 */
import { PCI_COMMAND, pciCapability, pciRead, pciWrite } from "../../arch-x86/host/pci";
import * as hw from "../../arch-x86/hw";
import { Domain } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import {
  barAt,
  barMask,
  BARS,
  barValue,
  functionCommand,
  functionHasPorts,
  functionMake,
  functionFind,
  PciFunction,
} from "./functions";

const ADDRESS: u32 = 0xcf8;
const DATA: u32 = 0xcfc;
const ENABLE: u32 = 1 << 31;
const ALL_ONES: u32 = 0xffffffff;

const COMMAND_BITS: u32 = 0x547; // I/O, memory, master, parity, SERR, INTx off
const STATUS: u32 = 6;
const CACHE_LINE: u32 = 0xc;
const LATENCY: u32 = 0xd;
const INTERRUPT_LINE: u32 = 0x3c;
const HEADER_END: u32 = 0x40;

const CAPABILITY_POWER: u32 = 1;
const POWER_CONTROL: u32 = 4;
const POWER_STATE: u32 = 3;
const CAPABILITY_EXPRESS: u32 = 0x10;
const EXPRESS_CONTROL: u32 = 8;
const EXPRESS_RESET: u32 = 1 << 15;

/** IN of `size` bytes by the I/O domain. */
export function portRead(d: Domain, port: u32, size: u32): u32 {
  const selected = softwareOf(d).configAddress;
  if (!plain(port, size)) return ALL_ONES;
  if (port == ADDRESS && size == 4) return selected;
  if (isData(port))
    return selected & ENABLE ? configRead((selected >> 8) & 0xffff, (selected & 0xfc) | (port & 3), size) : ALL_ONES;
  if (!isLegacyAta(port, size) && !functionHasPorts(port, size)) return ALL_ONES;
  return size == 1 ? hw.in8(port) : size == 2 ? hw.in16(port) : hw.in32(port);
}

/** OUT of `size` bytes by the I/O domain. */
export function portWrite(d: Domain, port: u32, size: u32, value: u32): void {
  const selected = softwareOf(d).configAddress;
  if (!plain(port, size)) return;
  if (port == ADDRESS && size == 4) {
    softwareOf(d).configAddress = value;
  } else if (isData(port)) {
    if (selected & ENABLE) configWrite(d, (selected >> 8) & 0xffff, (selected & 0xfc) | (port & 3), size, value);
  } else if (isLegacyAta(port, size) || functionHasPorts(port, size)) {
    if (size == 1) hw.out8(port, value);
    else if (size == 2) hw.out16(port, value);
    else hw.out32(port, value);
  }
}

/** A size that there is; configuration space is accessed naturally aligned. */
function plain(port: u32, size: u32): bool {
  return (size == 1 || size == 2 || size == 4) && !(isData(port) && (port & (size - 1)) != 0);
}

function isData(port: u32): bool {
  return port >= DATA && port < DATA + 4;
}

function isLegacyAta(port: u32, size: u32): bool {
  if ((port & ~0x80) == 0x376) return size == 1; // 0x3F6, 0x376
  const first = port & ~7;
  return (first == 0x1f0 || first == 0x170) && (size == 1 || (port & 7) == 0);
}

function configRead(address: u32, register: u32, size: u32): u32 {
  const bar = barAt(register);
  if (bar != BARS) {
    const f = functionFind(address);
    if (f != null && f.sizing & (1 << bar)) {
      const mask = barMask(f, bar) >> ((register & 3) << 3);
      return size == 4 ? mask : mask & ((1 << (size << 3)) - 1);
    }
  }
  return pciRead(address, register, size);
}

function configWrite(d: Domain, address: u32, register: u32, size: u32, value: u32): void {
  const f = functionMake(address);
  if (f == null) return;
  const bar = barAt(register);
  if (bar != BARS) {
    if (size == 4) sizeBar(f, bar, value);
  } else if (register == PCI_COMMAND) {
    if (size != 1) functionCommand(d, f, value & COMMAND_BITS);
    if (size == 4) pciWrite(address, STATUS, 2, value >> 16);
  } else if (register == STATUS && size == 2) {
    pciWrite(address, STATUS, 2, value);
  } else if (register < HEADER_END) {
    if (size == 1 && (register == CACHE_LINE || register == LATENCY || register == INTERRUPT_LINE)) {
      pciWrite(address, register, 1, value);
    }
  } else if (size == 2) {
    writeCapability(address, register, value);
  }
}

/** All ones ask for the size; anything else ends that. */
function sizeBar(f: PciFunction, bar: u32, value: u32): void {
  const bit: u32 = 1 << bar;
  // Of an expansion ROM the lowest bit enables it, the next ten are reserved.
  const asks = value == ALL_ONES || (bar == BARS - 1 && (value | 0x7ff) == ALL_ONES);
  if (asks && barValue(f, bar) != value) f.sizing |= bit;
  else f.sizing &= ~bit;
}

function writeCapability(address: u32, register: u32, value: u32): void {
  const power = pciCapability(address, CAPABILITY_POWER);
  if (power && register == power + POWER_CONTROL) {
    pciWrite(address, register, 2, value & ~POWER_STATE);
    return;
  }
  const express = pciCapability(address, CAPABILITY_EXPRESS);
  if (express && register == express + EXPRESS_CONTROL) pciWrite(address, register, 2, value & ~EXPRESS_RESET);
}
