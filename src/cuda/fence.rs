//! What is wrong with `cust`, kept behind one fence, and the only calls into it.
//!
//! Runs on: whoever calls; a [`Gpu`] stays on the thread that opened it, where its context is current. Owns contexts,
//! memory, streams and events. What the fence is for:
//!
//! - `Display` of an error may panic: errors leave as [`Fault`], with the code that the driver gave.
//! - An error may belong to an earlier launch: [`Gpu::synchronize`] comes before anything is believed.
//! - A context after a sticky error is lost to the whole process: [`FaultKind::Sticky`] says so.
//! - `ModuleJitOption` reads out of bounds and `Context::new` does not look whether the context became current: neither
//!   option nor silence is used.
//! - Over 48 KiB of shared memory, UUIDs and tensor maps are missing: they are taken from the driver itself.
//! - Sizes that a kernel is told are checked against the buffers it is given.

use std::ffi::{CStr, c_char, c_void};

use cust::{
    CudaFlags,
    context::{Context, CurrentContext},
    device::{Device, DeviceAttribute},
    error::CudaError,
    event::{Event, EventFlags},
    memory::{CopyDestination, DeviceBuffer},
    module::Module,
    stream::{Stream, StreamFlags},
    sys,
};

use super::{
    artefact::Artefact,
    driver::{self, NOT_SUPPORTED, SUCCESS, Unavailable},
    remedy,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No driver, or no device.
    Absent,
    /// The device's memory does not suffice.
    Memory,
    /// The context is lost, and with it this process: only a new one can use the device again.
    Sticky,
    /// This call alone failed.
    Other,
}

/// A call of the driver that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: CUDA error {code} ({text}){}", remedy::shown(*.code))]
pub struct Fault {
    pub call: &'static str,
    /// As the driver gave it.
    pub code: u32,
    pub text: String,
}

impl Fault {
    fn new(call: &'static str, error: CudaError) -> Fault {
        let code = match error {
            CudaError::UnknownError => driver::last_code(),
            known => known as u32,
        };
        Fault::of_code(call, code)
    }

    fn of_code(call: &'static str, code: u32) -> Fault {
        let mut text = std::ptr::null();
        // SAFETY: a place for one pointer; ours never fails, and gives a text that ends in NUL and stays.
        let text = unsafe {
            driver::cuGetErrorString(code, &mut text);
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        Fault { call, code, text }
    }

    /// A buffer that is smaller than a kernel was told: ours to prevent.
    pub(super) fn bounds(call: &'static str) -> Fault {
        Fault { call, code: 1, text: "a buffer is smaller than the kernel would be told; nothing was started".into() }
    }

    pub fn kind(&self) -> FaultKind {
        match self.code {
            100 | 101 => FaultKind::Absent,
            2 => FaultKind::Memory,
            // Device lost, ECC, NVLink, and everything that ends a context; what nobody knows counts among them.
            46 | 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 999 => FaultKind::Sticky,
            _ => FaultKind::Other,
        }
    }
}

fn said<T>(call: &'static str, result: Result<T, CudaError>) -> Result<T, Fault> {
    result.map_err(|error| Fault::new(call, error))
}

/// Binds the driver and starts it.
pub fn start() -> Result<(), StartFault> {
    driver::load()?;
    Ok(said("cuInit", cust::init(CudaFlags::empty()))?)
}

/// Why there is no CUDA in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartFault {
    #[error(transparent)]
    NoDriver(#[from] Unavailable),
    #[error(transparent)]
    Driver(#[from] Fault),
}

/// The newest CUDA that the driver knows: 13000 is 13.0.
pub fn driver_version() -> Result<u32, Fault> {
    let mut version = 0;
    // SAFETY: a place for one number.
    let code = unsafe { sys::cuDriverGetVersion(&mut version) } as u32;
    if code == SUCCESS { Ok(version.unsigned_abs()) } else { Err(Fault::of_code("cuDriverGetVersion", code)) }
}

/// What the driver says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    pub ordinal: u32,
    /// `GPU-` and a UUID, as NVML writes it.
    pub uuid: String,
    pub name: String,
    /// Where it is plugged in; `None`: the driver does not say.
    pub pci: Option<String>,
    pub total_bytes: u64,
    /// Major and minor.
    pub compute: (u32, u32),
    pub multiprocessors: u32,
    pub clock_mhz: u32,
}

/// All devices; the first fault of any of them ends it.
pub fn devices() -> Result<Vec<DeviceFacts>, Fault> {
    let count = said("cuDeviceGetCount", Device::num_devices())?;
    (0..count).map(facts).collect()
}

fn facts(ordinal: u32) -> Result<DeviceFacts, Fault> {
    let device = said("cuDeviceGet", Device::get_device(ordinal))?;
    let attribute = |which| {
        let value = said("cuDeviceGetAttribute", device.get_attribute(which))?;
        Ok::<u32, Fault>(u32::try_from(value).unwrap_or_default())
    };
    let major = attribute(DeviceAttribute::ComputeCapabilityMajor)?;
    let minor = attribute(DeviceAttribute::ComputeCapabilityMinor)?;
    Ok(DeviceFacts {
        ordinal,
        uuid: uuid(&device)?,
        name: said("cuDeviceGetName", device.name())?,
        pci: pci(&device),
        total_bytes: said("cuDeviceTotalMem", device.total_memory())? as u64,
        compute: (major, minor),
        multiprocessors: attribute(DeviceAttribute::MultiprocessorCount)?,
        clock_mhz: attribute(DeviceAttribute::ClockRate)? / 1000,
    })
}

fn uuid(device: &Device) -> Result<String, Fault> {
    type Uuid = unsafe extern "C" fn(*mut [u8; 16], i32) -> u32;
    let newer = driver::entry(c"cuDeviceGetUuid_v2").or_else(|| driver::entry(c"cuDeviceGetUuid"));
    let entry = newer.ok_or_else(|| Fault::of_code("cuDeviceGetUuid", NOT_SUPPORTED))?;
    let mut bytes = [0; 16];
    // SAFETY: the driver's entries of these names have this signature and fill 16 bytes.
    let code = unsafe { std::mem::transmute::<driver::Ptr, Uuid>(entry)(&mut bytes, device.as_raw()) };
    match code {
        SUCCESS => Ok(format!("GPU-{}", uuid::Uuid::from_bytes(bytes).hyphenated())),
        code => Err(Fault::of_code("cuDeviceGetUuid", code)),
    }
}

/// `0000:3b:00.0`. It decides nothing here, so that a driver that lacks it is no fault.
fn pci(device: &Device) -> Option<String> {
    type BusId = unsafe extern "C" fn(*mut c_char, i32, i32) -> u32;
    let entry = driver::entry(c"cuDeviceGetPCIBusId")?;
    let mut text = [0_u8; 32];
    // SAFETY: the driver's entry of this name has this signature and writes a text with its NUL into so many bytes.
    let code = unsafe {
        let entry = std::mem::transmute::<driver::Ptr, BusId>(entry);
        entry(text.as_mut_ptr().cast(), text.len() as i32, device.as_raw())
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    (code == SUCCESS && !text.is_empty()).then(|| text.to_ascii_lowercase())
}

/// A device that is in use: its context, the kernels, one stream. It stays on its thread.
#[derive(Debug)]
pub struct Gpu {
    // dropped in this order: the context last
    module: Module,
    stream: Stream,
    multiprocessors: u32,
    _context: Context,
}

/// Memory of a device, freed when it is dropped.
#[derive(Debug)]
pub struct Buffer(DeviceBuffer<u8>);

/// A moment of the stream.
#[derive(Debug)]
pub struct Mark(Event);

/// A ChaCha key, as a kernel takes it.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub struct Key(pub [u8; 32]);

/// A tensor map of Hopper's copy engine, opaque to all but the driver.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct TensorMap([u64; 16]);

/// One argument of a kernel. A buffer comes with how much of it the kernel will touch.
pub(super) enum Argument<'a> {
    Buffer(&'a Buffer, u64),
    U32(u32),
    U64(u64),
    Key(Key),
    Map(TensorMap),
}

/// How a kernel is started: blocks, threads of each, bytes of shared memory.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub grid: u64,
    pub block: u32,
    pub shared: u32,
}

impl Gpu {
    /// Opens the device on this thread, with these kernels.
    pub fn open(device: &DeviceFacts, artefact: Artefact) -> Result<Gpu, Fault> {
        let context = said("cuDevicePrimaryCtxRetain", Device::get_device(device.ordinal).and_then(Context::new))?;
        said("cuCtxSetCurrent", CurrentContext::set_current(&context))?;
        let module = match artefact {
            Artefact::Ptx => Module::from_ptx(String::from_utf8_lossy(artefact.image()), &[]),
            _ => Module::from_cubin(artefact.image(), &[]),
        };
        let module = said("cuModuleLoadDataEx", module)?;
        let stream = said("cuStreamCreate", Stream::new(StreamFlags::NON_BLOCKING, None))?;
        Ok(Gpu { module, stream, multiprocessors: device.multiprocessors, _context: context })
    }

    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// The stream that everything is started on, for NVIDIA's own libraries.
    pub(super) fn stream(&self) -> driver::Ptr {
        self.stream.as_inner().cast()
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> Result<u64, Fault> {
        let (mut free, mut total) = (0_usize, 0_usize);
        // SAFETY: places for two sizes.
        let code = unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) } as u32;
        if code == SUCCESS { Ok(free as u64) } else { Err(Fault::of_code("cuMemGetInfo", code)) }
    }

    /// Memory whose contents are whatever was there.
    pub fn buffer(&self, bytes: u64) -> Result<Buffer, Fault> {
        let size = usize::try_from(bytes).map_err(|_| Fault::of_code("cuMemAlloc", 2))?;
        // SAFETY: any byte is a valid u8.
        said("cuMemAlloc", unsafe { DeviceBuffer::uninitialized(size) }).map(Buffer)
    }

    /// Copies these bytes to the start of a buffer.
    pub fn write(&self, to: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() > to.0.len() {
            return Err(Fault::bounds("cuMemcpyHtoD"));
        }
        said("cuMemcpyHtoD", to.0.index(..bytes.len()).copy_from(bytes))
    }

    /// Waits for all that was started, then copies as many bytes as `to` takes from place `at` on.
    pub fn read(&self, from: &Buffer, at: u64, to: &mut [u8]) -> Result<(), Fault> {
        self.synchronize()?;
        let start = usize::try_from(at).map_err(|_| Fault::bounds("cuMemcpyDtoH"))?;
        let end = start.checked_add(to.len()).filter(|end| *end <= from.0.len());
        let end = end.ok_or_else(|| Fault::bounds("cuMemcpyDtoH"))?;
        said("cuMemcpyDtoH", from.0.index(start..end).copy_to(to))
    }

    /// Waits for all that was started, and says whether it went well.
    pub fn synchronize(&self) -> Result<(), Fault> {
        said("cuStreamSynchronize", self.stream.synchronize())
    }

    /// Marks this moment of the stream.
    pub fn mark(&self) -> Result<Mark, Fault> {
        let event = said("cuEventCreate", Event::new(EventFlags::DEFAULT))?;
        said("cuEventRecord", event.record(&self.stream))?;
        Ok(Mark(event))
    }

    /// Milliseconds between two moments that have passed.
    pub fn ms_between(&self, from: &Mark, to: &Mark) -> Result<f64, Fault> {
        said("cuEventElapsedTime", to.0.elapsed_time_f32(&from.0)).map(f64::from)
    }

    /// A map over `rows` rows of `width` bytes, read in boxes of 128 × 128 with the 128-byte swizzle.
    pub(super) fn tensor_map(&self, buffer: &Buffer, width: u64, rows: u64) -> Result<TensorMap, Fault> {
        type Encode = unsafe extern "C" fn(
            *mut TensorMap,
            i32,
            u32,
            u64,
            *const u64,
            *const u64,
            *const u32,
            *const u32,
            i32,
            i32,
            i32,
            i32,
        ) -> u32;
        const CALL: &str = "cuTensorMapEncodeTiled";
        const UINT8: i32 = 0;
        const SWIZZLE_128B: i32 = 3;
        const L2_256B: i32 = 3;
        if buffer.bytes() < width * rows {
            return Err(Fault::bounds(CALL));
        }
        let entry = driver::entry(c"cuTensorMapEncodeTiled").ok_or_else(|| Fault::of_code(CALL, NOT_SUPPORTED))?;
        let (dims, strides, boxes, steps) = ([width, rows], [width], [128_u32, 128], [1_u32, 1]);
        let mut map = TensorMap([0; 16]);
        // SAFETY: the driver's entry of this name has this signature (CUDA 12.0 and up); every array outlives the call
        // and has the length that rank 2 asks for.
        let code = unsafe {
            std::mem::transmute::<driver::Ptr, Encode>(entry)(
                &mut map,
                UINT8,
                2,
                buffer.address(),
                dims.as_ptr(),
                strides.as_ptr(),
                boxes.as_ptr(),
                steps.as_ptr(),
                0,
                SWIZZLE_128B,
                L2_256B,
                0,
            )
        };
        if code == SUCCESS { Ok(map) } else { Err(Fault::of_code(CALL, code)) }
    }

    /// Starts a kernel. What it touches has been checked; that it takes these arguments is `kernels`' to know.
    pub(super) fn launch(&self, kernel: &'static str, shape: Shape, arguments: &[Argument<'_>]) -> Result<(), Fault> {
        let short = |argument: &Argument<'_>| matches!(argument, Argument::Buffer(b, needed) if b.bytes() < *needed);
        let Some(grid) = u32::try_from(shape.grid).ok().filter(|_| !arguments.iter().any(short)) else {
            return Err(Fault::bounds(kernel));
        };
        let function = said(kernel, self.module.get_function(kernel))?;
        if shape.shared > 48 << 10 {
            let which = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: a function of a loaded module.
            let code = unsafe { sys::cuFuncSetAttribute(function.to_raw(), which, shape.shared as i32) } as u32;
            if code != SUCCESS {
                return Err(Fault::of_code(kernel, code));
            }
        }
        let addresses: Vec<u64> = arguments.iter().map(Argument::address).collect();
        let places: Vec<*mut c_void> = arguments.iter().zip(&addresses).map(|(a, address)| a.place(address)).collect();
        // SAFETY: each place holds a value of its parameter's type and outlives the call, which copies it; buffers are
        // as large as the kernel is told.
        said(kernel, unsafe { self.stream.launch(&function, grid, shape.block, shape.shared, &places) })
    }
}

impl Buffer {
    pub fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn address(&self) -> u64 {
        self.0.as_device_ptr().as_raw()
    }
}

impl Argument<'_> {
    fn address(&self) -> u64 {
        if let Argument::Buffer(buffer, _) = self { buffer.address() } else { 0 }
    }

    /// Where the value lies.
    fn place(&self, address: &u64) -> *mut c_void {
        fn of<T>(value: &T) -> *mut c_void {
            std::ptr::from_ref(value).cast_mut().cast()
        }
        match self {
            Argument::Buffer(..) => of(address),
            Argument::U32(value) => of(value),
            Argument::U64(value) => of(value),
            Argument::Key(value) => of(value),
            Argument::Map(value) => of(value),
        }
    }
}
