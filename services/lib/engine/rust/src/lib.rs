//! The EVM engine of a partition: revm over a versioned state that lives in this crate's memory.
//!
//! One crate, two builds: a WebAssembly module (`wasm`) and a native N-API addon (`native`). Both export `api::perform`.

// Without either build, as in `cargo test`, nothing calls the boundary.
#![cfg_attr(not(any(feature = "native", target_arch = "wasm32")), allow(dead_code))]

mod access;
mod api;
mod block;
mod bloom;
mod bytes;
mod call;
mod cells;
mod cellset;
mod conformance;
mod database;
mod decode;
mod edit;
mod engine;
mod execute;
mod halt;
mod handler;
mod history;
mod inputs;
mod keccak;
mod known;
mod lattice;
mod owned;
mod past;
mod record;
mod run;
mod signed_batch;
mod state;
mod touch;
mod trie;
mod turn;
mod view;
mod xof;

#[cfg(feature = "native")]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

/// Hash of the sources that this build was made from; the loader compares it.
pub const SOURCES: &str = match option_env!("MERIDIAN_ENGINE_SOURCES") {
    Some(hash) => hash,
    None => "unknown",
};
