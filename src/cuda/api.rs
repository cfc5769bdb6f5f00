//! The driver's entries that `cust` and this project call, each defined here and answered through a slot.
//!
//! The arguments are of the driver's binary interface: a handle or pointer, a device address, a number. Any thread may
//! call them. They hold nothing but the addresses that [`super::driver`] has found.

#![expect(non_upper_case_globals, reason = "a slot is called like its entry")]
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments, reason = "the driver's contract, not ours")]

use std::{
    ffi::{CStr, c_char, c_void},
    sync::atomic::{AtomicPtr, Ordering},
};

use super::driver::{Ptr, Slot, load, representable, unbound};

macro_rules! driver_api {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        mod entry {
            use super::*;
            $(pub static $name: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());)*
            pub static cuInit: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            pub static cuGetErrorString: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        }
        pub(super) static SLOTS: &[Slot] = &[
            Slot { name: c"cuInit", entry: &entry::cuInit },
            Slot { name: c"cuGetErrorString", entry: &entry::cuGetErrorString },
            $(Slot {
                // SAFETY: the literal ends in its only NUL.
                name: unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) },
                entry: &entry::$name,
            },)*
        ];
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> u32 {
                let real = entry::$name.load(Ordering::Acquire);
                if real.is_null() {
                    return unbound();
                }
                // SAFETY: the slot holds the driver's entry of this name and signature.
                let real: unsafe extern "C" fn($($ty),*) -> u32 = unsafe { std::mem::transmute(real) };
                representable(unsafe { real($($arg),*) })
            }
        )*
    };
}

/// Binds the driver on first use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuInit(flags: u32) -> u32 {
    let _ = load();
    let real = entry::cuInit.load(Ordering::Acquire);
    if real.is_null() {
        return unbound();
    }
    // SAFETY: the slot holds the driver's cuInit.
    let real: unsafe extern "C" fn(u32) -> u32 = unsafe { std::mem::transmute(real) };
    representable(unsafe { real(flags) })
}

pub(super) fn error_string() -> Option<unsafe extern "C" fn(u32, *mut *const c_char) -> u32> {
    let real = entry::cuGetErrorString.load(Ordering::Acquire);
    // SAFETY: the slot holds the driver's cuGetErrorString.
    (!real.is_null()).then(|| unsafe { std::mem::transmute(real) })
}

driver_api! {
    cuArray3DCreate_v2(a: Ptr, b: Ptr);
    cuArray3DGetDescriptor_v2(a: Ptr, b: Ptr);
    cuArrayDestroy(a: Ptr);
    cuCtxCreate_v2(a: Ptr, b: u32, c: i32);
    cuCtxDestroy_v2(a: Ptr);
    cuCtxGetApiVersion(a: Ptr, b: Ptr);
    cuCtxGetCacheConfig(a: Ptr);
    cuCtxGetCurrent(a: Ptr);
    cuCtxGetDevice(a: Ptr);
    cuCtxGetFlags(a: Ptr);
    cuCtxGetLimit(a: Ptr, b: u32);
    cuCtxGetSharedMemConfig(a: Ptr);
    cuCtxGetStreamPriorityRange(a: Ptr, b: Ptr);
    cuCtxPopCurrent_v2(a: Ptr);
    cuCtxPushCurrent_v2(a: Ptr);
    cuCtxSetCacheConfig(a: u32);
    cuCtxSetCurrent(a: Ptr);
    cuCtxSetLimit(a: u32, b: usize);
    cuCtxSetSharedMemConfig(a: u32);
    cuCtxSynchronize();
    cuDestroyExternalMemory(a: Ptr);
    cuDeviceGet(a: Ptr, b: i32);
    cuDeviceGetAttribute(a: Ptr, b: u32, c: i32);
    cuDeviceGetCount(a: Ptr);
    cuDeviceGetName(a: Ptr, b: i32, c: i32);
    cuDeviceGetPCIBusId(a: Ptr, b: i32, c: i32);
    cuDeviceGetUuid_v2(a: Ptr, b: i32);
    cuDevicePrimaryCtxRelease_v2(a: i32);
    cuDevicePrimaryCtxReset_v2(a: i32);
    cuDevicePrimaryCtxRetain(a: Ptr, b: i32);
    cuDevicePrimaryCtxSetFlags_v2(a: i32, b: u32);
    cuDeviceTotalMem_v2(a: Ptr, b: i32);
    cuDriverGetVersion(a: Ptr);
    cuEventCreate(a: Ptr, b: u32);
    cuEventDestroy_v2(a: Ptr);
    cuEventElapsedTime(a: Ptr, b: Ptr, c: Ptr);
    cuEventQuery(a: Ptr);
    cuEventRecord(a: Ptr, b: Ptr);
    cuEventSynchronize(a: Ptr);
    cuExternalMemoryGetMappedBuffer(a: Ptr, b: Ptr, c: Ptr);
    cuFuncGetAttribute(a: Ptr, b: u32, c: Ptr);
    cuFuncSetAttribute(a: Ptr, b: u32, c: i32);
    cuFuncSetCacheConfig(a: Ptr, b: u32);
    cuFuncSetSharedMemConfig(a: Ptr, b: u32);
    cuGetErrorName(a: u32, b: Ptr);
    cuGetProcAddress(a: Ptr, b: Ptr, c: i32, d: u64);
    cuGraphAddKernelNode(a: Ptr, b: Ptr, c: Ptr, d: usize, e: Ptr);
    cuGraphCreate(a: Ptr, b: u32);
    cuGraphDebugDotPrint(a: Ptr, b: Ptr, c: u32);
    cuGraphDestroy(a: Ptr);
    cuGraphGetEdges(a: Ptr, b: Ptr, c: Ptr, d: Ptr);
    cuGraphGetNodes(a: Ptr, b: Ptr, c: Ptr);
    cuGraphKernelNodeGetParams(a: Ptr, b: Ptr);
    cuGraphNodeGetType(a: Ptr, b: Ptr);
    cuImportExternalMemory(a: Ptr, b: Ptr);
    cuLaunchHostFunc(a: Ptr, b: Ptr, c: Ptr);
    cuLaunchKernel(a: Ptr, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: Ptr, j: Ptr, k: Ptr);
    cuLinkAddData_v2(a: Ptr, b: u32, c: Ptr, d: usize, e: Ptr, f: u32, g: Ptr, h: Ptr);
    cuLinkComplete(a: Ptr, b: Ptr, c: Ptr);
    cuLinkCreate_v2(a: u32, b: Ptr, c: Ptr, d: Ptr);
    cuLinkDestroy(a: Ptr);
    cuMemAdvise(a: u64, b: usize, c: u32, d: i32);
    cuMemAllocAsync(a: Ptr, b: usize, c: Ptr);
    cuMemAllocHost_v2(a: Ptr, b: usize);
    cuMemAllocManaged(a: Ptr, b: usize, c: u32);
    cuMemAlloc_v2(a: Ptr, b: usize);
    cuMemFreeAsync(a: u64, b: Ptr);
    cuMemFreeHost(a: Ptr);
    cuMemFree_v2(a: u64);
    cuMemGetInfo_v2(a: Ptr, b: Ptr);
    cuMemHostAlloc(a: Ptr, b: usize, c: u32);
    cuMemPrefetchAsync(a: u64, b: usize, c: i32, d: Ptr);
    cuMemcpy2D_v2(a: Ptr);
    cuMemcpyAtoH_v2(a: Ptr, b: Ptr, c: usize, d: usize);
    cuMemcpyDtoDAsync_v2(a: u64, b: u64, c: usize, d: Ptr);
    cuMemcpyDtoD_v2(a: u64, b: u64, c: usize);
    cuMemcpyDtoHAsync_v2(a: Ptr, b: u64, c: usize, d: Ptr);
    cuMemcpyDtoH_v2(a: Ptr, b: u64, c: usize);
    cuMemcpyHtoA_v2(a: Ptr, b: usize, c: Ptr, d: usize);
    cuMemcpyHtoDAsync_v2(a: u64, b: Ptr, c: usize, d: Ptr);
    cuMemcpyHtoD_v2(a: u64, b: Ptr, c: usize);
    cuMemsetD16Async(a: u64, b: u16, c: usize, d: Ptr);
    cuMemsetD16_v2(a: u64, b: u16, c: usize);
    cuMemsetD32Async(a: u64, b: u32, c: usize, d: Ptr);
    cuMemsetD32_v2(a: u64, b: u32, c: usize);
    cuMemsetD8Async(a: u64, b: u8, c: usize, d: Ptr);
    cuMemsetD8_v2(a: u64, b: u8, c: usize);
    cuModuleGetFunction(a: Ptr, b: Ptr, c: Ptr);
    cuModuleGetGlobal_v2(a: Ptr, b: Ptr, c: Ptr, d: Ptr);
    cuModuleLoad(a: Ptr, b: Ptr);
    cuModuleLoadData(a: Ptr, b: Ptr);
    cuModuleLoadDataEx(a: Ptr, b: Ptr, c: u32, d: Ptr, e: Ptr);
    cuModuleLoadFatBinary(a: Ptr, b: Ptr);
    cuModuleUnload(a: Ptr);
    cuOccupancyAvailableDynamicSMemPerBlock(a: Ptr, b: Ptr, c: i32, d: i32);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(a: Ptr, b: Ptr, c: i32, d: usize);
    cuOccupancyMaxPotentialBlockSize(a: Ptr, b: Ptr, c: Ptr, d: Ptr, e: usize, f: i32);
    cuStreamCreateWithPriority(a: Ptr, b: u32, c: i32);
    cuStreamDestroy_v2(a: Ptr);
    cuStreamGetFlags(a: Ptr, b: Ptr);
    cuStreamGetPriority(a: Ptr, b: Ptr);
    cuStreamSynchronize(a: Ptr);
    cuStreamWaitEvent(a: Ptr, b: Ptr, c: u32);
    cuSurfObjectCreate(a: Ptr, b: Ptr);
    cuSurfObjectDestroy(a: u64);
    cuSurfObjectGetResourceDesc(a: Ptr, b: u64);
    cuTexObjectCreate(a: Ptr, b: Ptr, c: Ptr, d: Ptr);
    cuTexObjectDestroy(a: u64);
    cuTexObjectGetResourceDesc(a: Ptr, b: u64);
    cuTexObjectGetResourceViewDesc(a: Ptr, b: u64);
}
