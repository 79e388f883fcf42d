/**
 * AssemblyScript's number types as plain aliases, so that the files of abi/ are also TypeScript for the control plane,
 * the tests and the tools. AssemblyScript itself never sees this file. 64-bit constants stay below 2^53.
 */
declare type i8 = number;
declare type i16 = number;
declare type i32 = number;
declare type i64 = number;
declare type u8 = number;
declare type u16 = number;
declare type u32 = number;
declare type u64 = number;
