//! The boundary: one function for all operations, packed bytes in and out. Both builds export it; `src/boundary.ts` calls it.
//!
//! B1. Operations on one engine belong to one thread; only `CALL_RUN` may run beside them, on any thread.
//! B2. A panic is a bug. The build around this turns it into a BugError, and the engine refuses further work.

use crate::block;
use crate::bytes::{Packed, Reader};
use crate::call::{self, Ticket};
use crate::conformance;
use crate::decode::{self, Limits};
use crate::engine::Engine;
use crate::history::{BlockContext, Unreadable};
use crate::inputs;
use crate::lattice;
use crate::owned::Owned;
use crate::run::{ProposalRules, RunRules};
use crate::state::Shared;
use alloy_primitives::{B256, keccak256};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// Operations; the numbers stand again in `src/boundary.ts`.
pub mod op {
    pub const KECCAK256: u32 = 1;
    #[cfg(feature = "native")]
    pub const DECODE: u32 = 2;
    pub const DECODE_BEGIN: u32 = 3;
    pub const DECODE_FINISH: u32 = 4;
    pub const BUILD_BLOCK: u32 = 5;
    pub const FOLD_DIGEST: u32 = 6;
    pub const OPEN: u32 = 7;
    pub const CLOSE: u32 = 8;
    pub const SET_OWNED: u32 = 9;
    pub const IMPORT: u32 = 10;
    pub const EXPORT: u32 = 11;
    pub const DROP_RANGE: u32 = 12;
    pub const OPEN_BLOCK: u32 = 13;
    pub const RUN: u32 = 14;
    pub const PROPOSE: u32 = 15;
    pub const APPLY_WRITES: u32 = 16;
    pub const CLOSE_BLOCK: u32 = 17;
    pub const SEAL: u32 = 18;
    pub const NONCES: u32 = 19;
    pub const READ: u32 = 20;
    pub const CALL_BEGIN: u32 = 21;
    pub const CALL_RUN: u32 = 22;
    pub const MEMORY: u32 = 23;
    pub const CONFORMANCE: u32 = 24;
    pub const GRANT: u32 = 25;
    pub const LATTICE_OF: u32 = 26;
}

struct Opened {
    shared: Arc<Shared>,
    engine: Mutex<Engine>,
}

static ENGINES: LazyLock<Mutex<HashMap<u32, Arc<Opened>>>> = LazyLock::new(Mutex::default);

fn opened(handle: u32) -> Arc<Opened> {
    let found = ENGINES.lock().expect("opening and closing do not panic").get(&handle).cloned();
    found.expect("engine is open") // After the lock: other engines live on when a handle is wrong.
}

/// Performs an operation. `number` is a block, a chain id or a size; negative where a block means the present state.
pub fn perform(operation: u32, handle: u32, number: f64, a: &[u8], b: &[u8], c: &[u8]) -> Vec<u8> {
    match operation {
        op::KECCAK256 => keccak256(a).to_vec(),
        #[cfg(feature = "native")]
        op::DECODE => pack_decoded(inputs::decode_all(a, &limits(b), decode::recover)),
        op::DECODE_BEGIN => decode_begin(a, &limits(b)),
        op::DECODE_FINISH => decode_finish(a, &limits(b), c),
        op::BUILD_BLOCK => block::build(a, b, c),
        op::FOLD_DIGEST => lattice::fold(a).to_vec(),
        op::LATTICE_OF => lattice::of(a),
        op::OPEN => open(number as u64).to_le_bytes().to_vec(),
        op::CLOSE => close(handle),
        op::CALL_BEGIN => call_begin(&opened(handle).shared, block_number(number)),
        op::CALL_RUN => call::run(&opened(handle).shared, a),
        op::CONFORMANCE => conformance::run(a),
        _ => {
            let opened = opened(handle);
            let mut engine = opened.engine.lock().expect("an engine that met a bug is not used again");
            on_engine(&mut engine, operation, number, [a, b, c])
        }
    }
}

fn on_engine(engine: &mut Engine, operation: u32, number: f64, [a, b, c]: [&[u8]; 3]) -> Vec<u8> {
    match operation {
        op::SET_OWNED => engine.set_owned(Owned::unpack(a)),
        op::IMPORT => engine.import(a),
        op::EXPORT => return export(engine, number as u64, a),
        op::DROP_RANGE => {
            let mut reader = Reader::new(a);
            engine.drop_range(reader.address(), reader.address());
        }
        op::OPEN_BLOCK => engine.open_block(BlockContext::unpack(&mut Reader::new(a))),
        op::RUN => return engine.run(a, b, &RunRules::unpack(c)),
        op::PROPOSE => {
            let parts = engine.propose(a, b, &ProposalRules::unpack(c));
            return pack_parts(&parts.each_ref().map(Vec::as_slice));
        }
        op::APPLY_WRITES => engine.apply_writes(a),
        op::CLOSE_BLOCK => return engine.close_block(),
        op::SEAL => engine.seal(number as u64, B256::from_slice(a)),
        op::NONCES => return engine.nonces(a),
        op::READ => return read(engine, block_number(number), a),
        op::GRANT => return grant(engine, a),
        op::MEMORY => {
            let (bytes, accounts, slots) = engine.memory();
            return [bytes, accounts, slots].iter().flat_map(|number| number.to_le_bytes()).collect();
        }
        other => panic!("unknown operation {other}"),
    }
    Vec::new()
}

fn block_number(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}

fn open(chain_id: u64) -> u32 {
    let engine = Engine::new(chain_id);
    let mut engines = ENGINES.lock().expect("opening and closing do not panic");
    let handle = (1..).find(|handle| !engines.contains_key(handle)).expect("there are free handles");
    engines.insert(handle, Arc::new(Opened { shared: engine.shared.clone(), engine: Mutex::new(engine) }));
    handle
}

fn close(handle: u32) -> Vec<u8> {
    let engine = ENGINES.lock().expect("opening and closing do not panic").remove(&handle);
    drop(engine); // Outside the lock: freeing a large state takes long.
    Vec::new()
}

/// Layout of limits: f64 chainId, f64 gasLimitMax, f64 transactionBytesMax.
fn limits(packed: &[u8]) -> Limits {
    let mut reader = Reader::new(packed);
    let mut number = || f64::from_bits(reader.u64()) as u64;
    Limits { chain_id: number(), gas_limit_max: number(), bytes_max: number() as usize }
}

/// The records are most of it: the answer grows in their own buffer.
fn pack_decoded(decoded: inputs::Decoded) -> Vec<u8> {
    let inputs::Decoded { records: mut out, statuses, details, record_counts, calls } = decoded;
    let length = (out.len() - inputs::RECORDS_START) as u32;
    out[..inputs::RECORDS_START].copy_from_slice(&length.to_le_bytes());
    out.put(&pack_parts(&[&statuses, &details, &record_counts, &calls]));
    out
}

/// First half of a decode whose recovery is done elsewhere: (b32 hash, b64 signature, u8 parity) of each that passed.
fn decode_begin(raw: &[u8], limits: &Limits) -> Vec<u8> {
    let mut out = Vec::new();
    inputs::decode_all(raw, limits, |signed| {
        for (signed, hash) in signed.iter().zip(decode::signed_hashes(signed)) {
            out.put(hash.as_slice());
            out.put(&signed.signature);
            out.put_u8(signed.parity);
        }
        vec![None; signed.len()]
    });
    out
}

/// Second half: 64 bytes of public key for each that passed, all zero where no key recovers.
fn decode_finish(raw: &[u8], limits: &Limits, keys: &[u8]) -> Vec<u8> {
    pack_decoded(inputs::decode_all(raw, limits, |_| {
        let is_none = |key: &[u8]| key.iter().all(|byte| *byte == 0);
        keys.chunks_exact(64).map(|key| (!is_none(key)).then(|| decode::address_of_key(key))).collect()
    }))
}

/// (u32 length, bytes)*
fn pack_parts(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        out.put_u32(part.len() as u32);
        out.put(part);
    }
    out
}

/// Answer: u8 hasNext, b20 next, cells.
fn export(engine: &Engine, block: u64, packed: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(packed);
    let (first, last, bytes_max) = (reader.address(), reader.address(), reader.u32() as usize);
    let (cells, next) = engine.export(block, first, last, bytes_max);
    let mut out = Vec::with_capacity(cells.len() + 21);
    out.put_u8(next.is_some() as u8);
    out.put(next.unwrap_or_default().as_slice());
    out.put(&cells);
    out
}

/// Answer: u8 status (0 cells, 1 pruned, 2 unknown block, 3 not owned), u64 block, cells.
fn read(engine: &Engine, block: Option<u64>, request: &[u8]) -> Vec<u8> {
    let (status, number, cells) = match engine.read(block, request) {
        Ok(Some(cells)) => (0, 0, cells),
        Ok(None) => (3, 0, Vec::new()),
        Err(Unreadable::Pruned { oldest }) => (1, oldest, Vec::new()),
        Err(Unreadable::Unknown { newest }) => (2, newest, Vec::new()),
    };
    let mut out = Vec::with_capacity(cells.len() + 9);
    out.put_u8(status);
    out.put_u64(number);
    out.put(&cells);
    out
}

/// Answer: u8 1 and the cells, or u8 0 if an account is not owned.
fn grant(engine: &Engine, request: &[u8]) -> Vec<u8> {
    engine.grant(request).map_or_else(|| vec![0], |cells| [&[1], cells.as_slice()].concat())
}

/// Answer: u8 0 and a ticket to run with, or u8 1 and the call's answer.
fn call_begin(shared: &Shared, block: Option<u64>) -> Vec<u8> {
    match Ticket::new(shared, block) {
        Ok(ticket) => [&[0], ticket.pack().as_slice()].concat(),
        Err(why) => [&[1], call::unreadable(&why).as_slice()].concat(),
    }
}
