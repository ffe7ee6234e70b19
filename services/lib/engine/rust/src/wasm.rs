//! The WebAssembly boundary. The memory is imported and shared, so that a second instance of the module on another thread
//! can run a call beside the log; locks then work as they do natively.

use crate::api;
use std::alloc::{Layout, alloc, dealloc};
use std::sync::Mutex;

/// Panic texts end here: the trap that follows carries none.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Where an answer lies until it is freed.
#[repr(C)]
pub struct Answer {
    bytes: *mut u8,
    length: usize,
}

/// Has panics leave their text. To be called once, before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn start() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut text) = PANIC.lock() {
            *text = panic.to_string();
        }
    }));
}

/// Memory for inputs, a stack or thread-local storage; `length` is not 0.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    // SAFETY: the layout is not empty.
    unsafe { alloc(layout(length)) }
}

/// # Safety
/// `bytes` comes from `allocate` with this very length and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(bytes: *mut u8, length: usize) {
    // SAFETY: by the contract of this function.
    unsafe { dealloc(bytes, layout(length)) }
}

/// Sixteen bytes fit a stack's alignment.
fn layout(length: usize) -> Layout {
    Layout::from_size_align(length, 16).expect("length is below the memory's size")
}

/// # Safety
/// An answer's bytes and length, not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_answer(bytes: *mut u8, length: usize) {
    // SAFETY: `put_answer` made it from such a box.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes, length)) });
}

/// Performs an operation of `api`; the answer's place is written to `answer`, its bytes are to be freed.
///
/// # Safety
/// Pointers come from `allocate` and lengths fit them; `answer` has room for an `Answer`.
#[allow(clippy::too_many_arguments)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn perform(
    operation: u32,
    handle: u32,
    number: f64,
    a: *const u8,
    a_length: usize,
    b: *const u8,
    b_length: usize,
    c: *const u8,
    c_length: usize,
    answer: *mut Answer,
) {
    // SAFETY: by the contract of this function.
    let part = |bytes: *const u8, length: usize| unsafe { std::slice::from_raw_parts(bytes, length) };
    let result = api::perform(operation, handle, number, part(a, a_length), part(b, b_length), part(c, c_length));
    // SAFETY: by the contract of this function.
    unsafe { put_answer(result, answer) }
}

/// Text of the last panic, written to `answer` like an operation's.
///
/// # Safety
/// `answer` has room for an `Answer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn panic_text(answer: *mut Answer) {
    let text = PANIC.lock().map(|text| text.clone()).unwrap_or_default();
    // SAFETY: by the contract of this function.
    unsafe { put_answer(text.into_bytes(), answer) }
}

unsafe fn put_answer(result: Vec<u8>, answer: *mut Answer) {
    let length = result.len();
    let bytes = Box::into_raw(result.into_boxed_slice()).cast();
    // SAFETY: the caller vouches for `answer`.
    unsafe { *answer = Answer { bytes, length } };
}

getrandom::register_custom_getrandom!(no_randomness);

fn no_randomness(_: &mut [u8]) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
