//! The N-API addon. Operations run on the calling thread; a call runs on libuv's thread pool.

use crate::api;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

thread_local! {
    /// Text and place of this thread's last panic: what `catch_unwind` gives has no place.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}
static HOOK: Once = Once::new();

/// A panic must not unwind into Node: it becomes an error whose text the wrapper turns into a BugError.
fn guarded(work: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>> {
    HOOK.call_once(|| set_hook(Box::new(|panic| PANIC.set(panic.to_string()))));
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::from_reason(PANIC.take()))
}

#[napi]
pub fn perform(operation: u32, handle: u32, number: f64, a: &[u8], b: &[u8], c: &[u8]) -> Result<Uint8Array> {
    guarded(|| api::perform(operation, handle, number, a, b, c)).map(Uint8Array::from)
}

pub struct Beside {
    operation: u32,
    handle: u32,
    input: Vec<u8>,
}

impl Task for Beside {
    type Output = Vec<u8>;
    type JsValue = Uint8Array;

    fn compute(&mut self) -> Result<Vec<u8>> {
        guarded(|| api::perform(self.operation, self.handle, 0.0, &self.input, &[], &[]))
    }

    fn resolve(&mut self, _: Env, output: Vec<u8>) -> Result<Uint8Array> {
        Ok(Uint8Array::from(output))
    }
}

/// Performs an operation on another thread.
#[napi]
pub fn perform_beside(operation: u32, handle: u32, input: &[u8]) -> AsyncTask<Beside> {
    AsyncTask::new(Beside { operation, handle, input: input.to_vec() })
}

/// Hash of the sources that this addon was built from.
#[napi]
pub fn sources() -> &'static str {
    crate::SOURCES
}
