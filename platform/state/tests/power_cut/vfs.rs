//! SQLite's file layer over [`Disk`]: the part that must be unsafe. One VFS for each disk; it stays
//! registered, as SQLite may ask for it at any time.

#![allow(unsafe_code, reason = "SQLite's VFS is a table of C functions")]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use super::disk::{Broken, Disk};

/// What a VFS and its files share.
struct Layer {
    disk: Disk,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    handles: u64,
    temporary: u64,
    /// Locks of a file, as one process sees them: by name and life.
    locks: BTreeMap<(String, u64), Locks>,
    memories: BTreeMap<(String, u64), Memory>,
}

#[derive(Default)]
struct Locks {
    shared: Vec<u64>,
    reserved: Option<u64>,
    pending: Option<u64>,
    exclusive: Option<u64>,
}

/// The WAL's index: shared memory.
#[derive(Default)]
struct Memory {
    regions: Vec<Box<[u64]>>,
    users: u64,
    slots: [Slot; ffi::SQLITE_SHM_NLOCK as usize],
}

#[derive(Default)]
struct Slot {
    shared: Vec<u64>,
    exclusive: Option<u64>,
}

struct Handle {
    layer: Arc<Layer>,
    name: String,
    id: u64,
    life: u64,
    mapped: bool,
    temporary: bool,
}

#[repr(C)]
struct ShimFile {
    base: sqlite3_file,
    handle: *mut Handle,
}

/// Makes a VFS over this disk and gives its name.
pub fn register(disk: &Disk, name: &str) {
    let layer = Arc::new(Layer { disk: disk.clone(), open: Mutex::default() });
    let name = CString::new(name).expect("a name").into_raw();
    let vfs = sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<ShimFile>() as c_int,
        mxPathname: 1_024,
        pNext: ptr::null_mut(),
        zName: name,
        pAppData: Box::into_raw(Box::new(layer)).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    };
    // SAFETY: the structure and all that it points to live for ever.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
    assert_eq!(registered, ffi::SQLITE_OK);
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn code(result: Result<(), Broken>) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(Broken::Short) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(Broken::Read) => ffi::SQLITE_IOERR_READ,
        Err(Broken::Full) => ffi::SQLITE_FULL,
        Err(Broken::Sync) => ffi::SQLITE_IOERR_FSYNC,
        Err(Broken::Missing) => ffi::SQLITE_CANTOPEN,
        Err(Broken::Dead | Broken::Write) => ffi::SQLITE_IOERR_WRITE,
    }
}

/// # Safety
/// `vfs` is one that [`register`] made.
unsafe fn layer<'a>(vfs: *mut sqlite3_vfs) -> &'a Arc<Layer> {
    // SAFETY: `register` put an `Arc<Layer>` there, for ever.
    unsafe { &*(*vfs).pAppData.cast::<Arc<Layer>>() }
}

/// # Safety
/// `file` was opened by [`open`] and not closed yet.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` put a handle there; SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<ShimFile>()).handle }
}

/// # Safety
/// `name` is a C string.
unsafe fn text(name: *const c_char) -> String {
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes its own structures.
    unsafe {
        (*file).pMethods = ptr::null();
        let layer = layer(vfs);
        let mut open = locked(&layer.open);
        open.handles += 1;
        let id = open.handles;
        let temporary = name.is_null() || flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
        let name = if name.is_null() {
            open.temporary += 1;
            format!("temporary-{}", open.temporary)
        } else {
            text(name)
        };
        let mut disk = layer.disk.state();
        let life = disk.life;
        if let Err(broken) = disk.open(life, &name, flags & ffi::SQLITE_OPEN_CREATE != 0) {
            return match broken {
                Broken::Missing => ffi::SQLITE_CANTOPEN,
                _ => ffi::SQLITE_IOERR,
            };
        }
        let handle = Handle { layer: layer.clone(), name, id, life, mapped: false, temporary };
        (*file.cast::<ShimFile>()).handle = Box::into_raw(Box::new(handle));
        (*file).pMethods = &METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite passes its own structures.
    let (layer, name) = unsafe { (layer(vfs), text(name)) };
    let mut disk = layer.disk.state();
    let life = disk.life;
    match disk.delete(life, &name, sync != 0) {
        Ok(()) => ffi::SQLITE_OK,
        Err(Broken::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes its own structures.
    unsafe { *out = c_int::from(layer(vfs).disk.state().exists(&text(name))) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a buffer of that size.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_vfs: *mut sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes a buffer of that size.
    unsafe { ptr::write_bytes(out, 7, size as usize) };
    size
}

unsafe extern "C" fn sleep(_vfs: *mut sqlite3_vfs, micros: c_int) -> c_int {
    micros
}

unsafe extern "C" fn current_time(_vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite passes its own variable.
    unsafe { *out = 2_461_042.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(_vfs: *mut sqlite3_vfs, out: *mut i64) -> c_int {
    // SAFETY: SQLite passes its own variable.
    unsafe { *out = 2_461_042 * 86_400_000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once.
    let handle = unsafe { Box::from_raw((*file.cast::<ShimFile>()).handle) };
    let mut open = locked(&handle.layer.open);
    if let Some(locks) = open.locks.get_mut(&(handle.name.clone(), handle.life)) {
        locks.release(handle.id, ffi::SQLITE_LOCK_NONE);
    }
    drop(open);
    if handle.temporary {
        let _ = handle.layer.disk.state().delete(handle.life, &handle.name, true);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    size: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite passes a buffer of that size.
    let (handle, into) =
        unsafe { (handle(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), size as usize)) };
    code(handle.layer.disk.state().read(handle.life, &handle.name, at as usize, into))
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    size: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite passes a buffer of that size.
    let (handle, from) =
        unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), size as usize)) };
    code(handle.layer.disk.state().write(handle.life, &handle.name, at as usize, from))
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    code(handle.layer.disk.state().truncate(handle.life, &handle.name, size as usize))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    code(handle.layer.disk.state().sync(handle.life, &handle.name))
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: SQLite passes an open file and its own variable.
    let handle = unsafe { handle(file) };
    let size = handle.layer.disk.state().size(handle.life, &handle.name);
    code(size.map(|size| {
        // SAFETY: as above.
        unsafe { *out = size as i64 };
    }))
}

impl Locks {
    fn free(&self, holder: Option<u64>, id: u64) -> bool {
        holder.is_none_or(|held| held == id)
    }

    fn take(&mut self, id: u64, level: c_int) -> bool {
        if !self.free(self.exclusive, id) {
            return false;
        }
        match level {
            ffi::SQLITE_LOCK_SHARED => {
                if !self.free(self.pending, id) {
                    return false;
                }
                if !self.shared.contains(&id) {
                    self.shared.push(id);
                }
                true
            }
            ffi::SQLITE_LOCK_RESERVED => {
                let free = self.free(self.reserved, id);
                if free {
                    self.reserved = Some(id);
                }
                free
            }
            _ => {
                if !self.free(self.pending, id) || !self.free(self.reserved, id) {
                    return false;
                }
                self.pending = Some(id);
                let alone = self.shared.iter().all(|held| *held == id);
                if alone {
                    self.exclusive = Some(id);
                }
                alone
            }
        }
    }

    fn release(&mut self, id: u64, level: c_int) {
        for held in [&mut self.reserved, &mut self.pending, &mut self.exclusive] {
            if *held == Some(id) {
                *held = None;
            }
        }
        if level == ffi::SQLITE_LOCK_NONE {
            self.shared.retain(|held| *held != id);
        }
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    let mut open = locked(&handle.layer.open);
    let locks = open.locks.entry((handle.name.clone(), handle.life)).or_default();
    if locks.take(handle.id, level) { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    let mut open = locked(&handle.layer.open);
    open.locks.entry((handle.name.clone(), handle.life)).or_default().release(handle.id, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes an open file and its own variable.
    unsafe {
        let handle = handle(file);
        let mut open = locked(&handle.layer.open);
        let locks = open.locks.entry((handle.name.clone(), handle.life)).or_default();
        *out = c_int::from(locks.reserved.is_some());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    512
}

unsafe extern "C" fn characteristics(_: *mut sqlite3_file) -> c_int {
    // As SQLite's own layer says by default.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file and its own variable; regions never move once made.
    unsafe {
        *out = ptr::null_mut();
        let handle = handle(file);
        let mut open = locked(&handle.layer.open);
        let memory = open.memories.entry((handle.name.clone(), handle.life)).or_default();
        if !handle.mapped {
            handle.mapped = true;
            memory.users += 1;
        }
        while memory.regions.len() <= region as usize {
            if extend == 0 {
                return ffi::SQLITE_OK;
            }
            memory.regions.push(vec![0; size as usize / 8].into_boxed_slice());
        }
        *out = memory.regions[region as usize].as_mut_ptr().cast();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    let mut open = locked(&handle.layer.open);
    let memory = open.memories.entry((handle.name.clone(), handle.life)).or_default();
    let slots = &mut memory.slots[first as usize..(first + count) as usize];
    let id = handle.id;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        for slot in slots {
            slot.shared.retain(|held| *held != id);
            if slot.exclusive == Some(id) {
                slot.exclusive = None;
            }
        }
        return ffi::SQLITE_OK;
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    let free = slots.iter().all(|slot| {
        slot.exclusive.is_none_or(|held| held == id)
            && (!exclusive || slot.shared.iter().all(|held| *held == id))
    });
    if !free {
        return ffi::SQLITE_BUSY;
    }
    for slot in slots {
        if exclusive {
            slot.exclusive = Some(id);
        } else if !slot.shared.contains(&id) {
            slot.shared.push(id);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, forget: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and uses its regions no more.
    let handle = unsafe { handle(file) };
    let mut open = locked(&handle.layer.open);
    let key = (handle.name.clone(), handle.life);
    if let Some(memory) = open.memories.get_mut(&key)
        && handle.mapped
    {
        memory.users -= 1;
        handle.mapped = false;
        if memory.users == 0 && (forget != 0 || handle.layer.disk.state().life != handle.life) {
            open.memories.remove(&key);
        }
    }
    ffi::SQLITE_OK
}
