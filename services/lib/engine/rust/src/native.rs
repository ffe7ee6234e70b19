//! The N-API addon. Operations run on the calling thread; a call runs on libuv's thread pool.

use crate::api;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic must not unwind into Node: it becomes an error whose text the wrapper turns into a BugError.
fn guarded(work: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        Error::from_reason(text.unwrap_or_else(|| "panic without a message".into()))
    })
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
